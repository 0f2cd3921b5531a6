"""Margins of convolutions and pools: what onnxruntime computes with them, and what is refused."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from checked_nodes import IMAGE, array, facts_of, ops, run
from onnx import helper

from diffkiln.runtime.checking import GraphError


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("Conv", {"auto_pad": "SAME_UPPER"}),
        ("AveragePool", {"kernel_shape": [2, 2], "auto_pad": "VALID"}),
        ("ConvTranspose", {"strides": [2, 2], "output_shape": [12, 8]}),
        ("ConvTranspose", {"strides": [2, 2], "output_padding": [1, 0]}),
    ],
)
def test_margins_that_onnxruntime_would_choose_are_refused(kind: str, attributes: dict) -> None:
    inputs = ["x", "w"][: 2 - kind.endswith("Pool")]
    constants = [array("w", np.ones((8, 8, 3, 3)), np.float32)]
    with pytest.raises(GraphError, match=f"cannot be run: {kind}"):
        facts_of(ops((kind, inputs, ["y"], attributes)), constants, IMAGE)


@pytest.mark.parametrize(("kernel", "margin"), [(1, 1), (2, 3), (3, 3), (3, 3 + 1024)])
def test_margins_as_wide_as_a_window_are_zeros_around_the_image(kernel: int, margin: int) -> None:
    weights = np.random.default_rng(0).normal(size=(8, 8, kernel, 3)).astype(np.float32)
    around = np.array([0, 0, margin, 3, 0, 0, margin, 3])
    nodes = ops(
        ("Conv", ["x", "w"], ["y"], {"pads": [margin, 3, margin, 3]}),
        ("Pad", ["x", "around"], ["padded"]),
        ("Conv", ["padded", "w"], ["expected"]),
    )
    model, _ = facts_of(nodes, [array("w", weights), array("around", around)], IMAGE)
    made = run(model, ["y", "expected"], 3)
    # Sums of 72 numbers, in another order.
    np.testing.assert_allclose(made["y"], made["expected"], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("Conv", {"pads": [0, 4 + 1024, 0, 0]}),
        ("Conv", {"pads": [0, 0, -1, 0]}),
        ("ConvTranspose", {"pads": [4, 4, 4, 4]}),
        ("AveragePool", {"kernel_shape": [2, 2], "pads": [0, 2, 0, 0]}),
        ("MaxPool", {"kernel_shape": [2, 3], "pads": [0, 0, 2, 0]}),
        ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2], "pads": [0, 0, 2, 0]}),
    ],
)
def test_margins_with_which_nothing_can_be_made_are_refused(kind: str, attributes: dict) -> None:
    inputs = ["x", "w"][: 2 - kind.endswith("Pool")]
    constants = [array("w", np.ones((8, 8, 3, 3)), np.float32)]
    with pytest.raises(GraphError, match=f"cannot be run: {kind}"):
        facts_of(ops((kind, inputs, ["y"], attributes)), constants, IMAGE)


@pytest.mark.parametrize("dilation", [1, 2])
def test_onnxruntime_pools_no_margins_as_wide_as_the_kernel(dilation: int) -> None:
    settings: dict[str, Any] = {"kernel_shape": [2, 2], "dilations": [dilation] * 2}
    model, _ = facts_of(ops(("MaxPool", ["x"], ["y"], settings)), [], IMAGE)
    for margin, fits in ((1, True), (2, False)):
        node = model.graph.node[0]
        node.CopyFrom(helper.make_node("MaxPool", ["x"], ["y"], **settings, pads=[margin] * 4))
        outcome = nullcontext() if fits else pytest.raises(Exception, match="smaller than kernel")
        with outcome:
            run(model, ["y"], 1)
