"""The passes over a converted graph, on graphs made by hand."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from diffkiln.export.graphs.conversion import require_standard_operators
from diffkiln.export.graphs.rewriting.tidying import widen_channel_constants, with_fewer_transposes
from diffkiln.trainer.errors import InputError


def reshaped_and_transposed(shape: list[int], permutation: list[int]) -> onnx.ModelProto:
    """x float32 [N, 6] → Relu → Reshape → Transpose → y."""
    nodes = [
        helper.make_node("Relu", ["x"], ["positive"]),
        helper.make_node("Reshape", ["positive", "shape"], ["reshaped"]),
        helper.make_node("Transpose", ["reshaped"], ["y"], name="t", perm=permutation),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(shape))
    constant = numpy_helper.from_array(np.array(shape, np.int64), "shape")
    graph = helper.make_graph(nodes, "g", [x], [y], [constant])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model: onnx.ModelProto) -> np.ndarray:
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": np.arange(12, dtype=np.float32).reshape(2, 6)})[0])


@pytest.mark.parametrize(
    ("shape", "permutation", "transposes"),
    [
        ([-1, 1, 1, 6], [0, 3, 1, 2], 0),
        ([-1, 6, 1, 1], [0, 2, 3, 1], 0),
        ([-1, 1, 2, 3], [0, 3, 1, 2], 1),
        ([0, 1, 1, 6], [3, 0, 1, 2], 1),
    ],
)
def test_only_transposes_that_move_nothing_are_folded(
    shape: list[int], permutation: list[int], transposes: int
) -> None:
    model = reshaped_and_transposed(shape, permutation)
    tidy = with_fewer_transposes(model)
    assert sum(node.op_type == "Transpose" for node in tidy.graph.node) == transposes
    np.testing.assert_array_equal(run(tidy), run(model))


def test_an_unknown_operator_is_named() -> None:
    model = reshaped_and_transposed([-1, 6], [0, 1])
    model.graph.node[0].op_type, model.graph.node[0].name = "Wonder", "layer/Wonder"
    with pytest.raises(InputError, match="has the operator Wonder, for which ONNX has none"):
        require_standard_operators(model)


def test_a_number_per_channel_becomes_a_row_of_the_image() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "std"], ["scaled"]),
        helper.make_node("Add", ["mean", "scaled"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 5, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 5, 3])
    std, mean = np.array([0.5, 0.25, 0.3], np.float32), np.array([[[[1, 2, 3]]]], np.float32)
    constants = [numpy_helper.from_array(std, "std"), numpy_helper.from_array(mean, "mean")]
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    widen_channel_constants(graph)
    assert [list(value.dims) for value in graph.initializer] == [[5, 3], [5, 3]]
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    images = np.random.default_rng(0).random((2, 4, 5, 3), np.float32)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    result = np.asarray(session.run(None, {"x": images})[0])
    np.testing.assert_array_equal(result, images * std + mean)


def test_a_constant_along_another_axis_stays_as_it_is() -> None:
    node = helper.make_node("Mul", ["x", "scale"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 2, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 2, 3])
    scale = numpy_helper.from_array(np.ones((1, 4, 1, 1), np.float32), "scale")
    graph = helper.make_graph([node], "g", [x], [y], [scale])
    widen_channel_constants(graph)
    assert [value.name for value in graph.initializer] == ["scale"]
