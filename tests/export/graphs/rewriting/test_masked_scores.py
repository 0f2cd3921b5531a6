"""Softmaxes of masked scores compute with no denormal numbers."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from diffkiln.export.graphs.graph import finished, runner
from diffkiln.export.graphs.rewriting.masked_scores import raise_masked_scores

SIZE = 24
KEPT = np.tri(SIZE, dtype=bool)[None]
node = helper.make_node


def graph_of(nodes: list[onnx.NodeProto], **constants: np.ndarray) -> onnx.GraphProto:
    """Nodes from the scores float32 [N, 24, 24] to their weights."""
    scores, weights = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", SIZE, SIZE])
        for name in ("scores", "weights")
    )
    values = [
        numpy_helper.from_array(each.astype(np.float32), name) for name, each in constants.items()
    ]
    return helper.make_graph(nodes, "masked", [scores], [weights], values)


def added(number: float) -> onnx.GraphProto:
    nodes = [node("Add", ["scores", "mask"], ["sum"])]
    nodes.append(node("Softmax", ["sum"], ["weights"]))
    return graph_of(nodes, mask=np.where(KEPT, 0.5, number))


def chosen() -> onnx.GraphProto:
    """In the form in which tf2onnx writes two uses of `where`."""
    nodes = [
        node("Mul", ["kept", "scores"], ["product"]),
        node("Add", ["product", "numbers"], ["sum"]),
        node("Softmax", ["sum"], ["softmax"], axis=-1),
        node("Mul", ["kept", "softmax"], ["again"]),
        node("Add", ["again", "zeros"], ["weights"]),
    ]
    zeros = np.zeros((1, SIZE, SIZE))
    return graph_of(nodes, kept=KEPT, numbers=np.where(KEPT, 0, -1e9), zeros=zeros)


@pytest.mark.parametrize("graph", [added(-1e9), added(-np.inf), chosen()])
@pytest.mark.parametrize("size", [1, 30, 1e4])
def test_weights_are_the_same_and_none_is_denormal(graph: Any, size: float) -> None:
    scores = np.random.default_rng(0).standard_normal((2, SIZE, SIZE), np.float32) * np.float32(
        size
    )
    raise_masked_scores(graph)
    (weights,) = runner(finished(graph).SerializeToString())({"scores": scores}).values()
    kept = np.where(KEPT, scores.astype(np.float64), -np.inf)
    powers = np.exp(kept - kept.max(axis=-1, keepdims=True))
    expected = powers / powers.sum(axis=-1, keepdims=True)
    # The error of float32's exponentials, and of differences between scores as large as `size`.
    np.testing.assert_allclose(weights, expected, atol=1e-6 * max(1, size / 10))
    assert weights.min() >= np.finfo(np.float32).tiny


def test_a_mask_costs_one_addition_and_one_comparison() -> None:
    graph = chosen()
    raise_masked_scores(graph)
    kinds = [each.op_type for each in graph.node]
    assert kinds == ["Add", "ReduceMax", "Add", "Max", "Softmax", "Identity"]


@pytest.mark.parametrize("number", [-3.0, 0.0])
def test_numbers_that_leave_nothing_out_stay(number: float) -> None:
    graph = added(number)
    before = graph.SerializeToString()
    raise_masked_scores(graph)
    assert graph.SerializeToString() == before


def test_a_row_that_keeps_nothing_stays() -> None:
    graph = graph_of(
        [node("Add", ["scores", "mask"], ["sum"]), node("Softmax", ["sum"], ["weights"], axis=-1)],
        mask=np.full((1, SIZE, SIZE), -1e9),
    )
    raise_masked_scores(graph)
    assert [each.op_type for each in graph.node] == ["Add", "Softmax"]
