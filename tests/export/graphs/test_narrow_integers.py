"""Graphs in a runtime that computes int64 in 32 bits, uint32 as int32, and divides as float32."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from small_models import run_onnx

from diffkiln.runtime.bench.compare.openvino import infer_request

# The largest seed with which that runtime can be right among them.
GIVEN = {"seeds": np.array([0, 77, 2**30 + 7, 2**31 - 1]), "steps": np.array(3)}


def test_the_noise_needs_no_unsigned_or_wide_arithmetic(full_bundle: Path) -> None:
    graph = onnx.load(full_bundle / "noise.onnx").graph
    types = {value.name: value.data_type for value in graph.initializer}
    assert TensorProto.UINT32 not in types.values()
    for node in graph.node:
        assert node.op_type != "BitShift"
        if node.op_type in ("BitwiseAnd", "Div"):
            assert types[node.input[1]] == TensorProto.INT32


@pytest.mark.parametrize("bundle", ["full_bundle", "class_bundle", "fresh_bundle"])
def test_openvino_draws_the_same_pictures(bundle: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("openvino", reason="needs the extra bench or dev")
    file = request.getfixturevalue(bundle) / "sampler.onnx"
    labels = {"labels": np.array([0, -1, 1, 2]), "guidance": np.array(2, np.float32)}
    given = GIVEN | (labels if bundle == "class_bundle" else {})
    (expected,) = run_onnx(file, **given)
    (images,) = infer_request(file.read_bytes()).infer(given).values()
    # One level of 255, since it adds in another order.
    level = 1 if images.dtype == np.uint8 else 1 / 255
    assert np.abs(images.astype(float) - expected).max() <= level


def test_openvino_draws_the_same_noise(full_bundle: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra bench or dev")
    file, seeds = full_bundle / "noise.onnx", {"seeds": GIVEN["seeds"]}
    (noise,) = infer_request(file.read_bytes()).infer(seeds).values()
    # Numbers up to 6, from float32 logarithms, roots and cosines.
    np.testing.assert_allclose(noise, run_onnx(file, **seeds)[0], atol=4e-6)


def test_openvino_draws_nothing_for_inputs_out_of_range(full_bundle: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra bench or dev")
    request = infer_request((full_bundle / "sampler.onnx").read_bytes())
    assert request.infer(GIVEN)[0].any()
    for wrong in ({"steps": np.array(0)}, {"steps": np.array(1001)}, {"seeds": np.array([-1])}):
        assert not request.infer(GIVEN | wrong)[0].any()
