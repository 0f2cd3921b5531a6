"""What tf2onnx makes of a function, whatever was converted before and wherever its nodes lie."""

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper
from small_models import run_onnx
from tf2onnx.graph import GraphUtil
from tf2onnx.optimizer import optimize_graph

from diffkiln.export.baking.process import traced
from diffkiln.export.graphs.translation.translate import OPTIMIZERS, translated


def test_a_function_is_translated_alike_each_time() -> None:
    def convolved(x: tf.Tensor) -> dict[str, tf.Tensor]:
        kernel = tf.ones([3, 3, 2, 2])
        return {"y": tf.nn.conv2d(x, kernel, 1, "SAME") + tf.nn.max_pool2d(x, 3, 1, "SAME")}

    function = traced(convolved, [tf.TensorSpec([None, 4, 5, 2], name="x")])
    first, second = (translated(function).graph for _ in range(2))
    assert [*first.node] == [*second.node]
    assert [*first.initializer] == [*second.initializer]


def test_a_reshape_that_is_an_output_keeps_its_rank() -> None:
    """Its shape is computed: the input's axes 0, 2, 3 and 1, of which 1 alone is a number."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, "H", "W"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "H", "W", 1])
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], "shape"),
        helper.make_node("Gather", ["shape", "order"], ["target"], "target"),
        helper.make_node("Reshape", ["x", "target"], ["y"], "reshape"),
    ]
    order = numpy_helper.from_array(np.array([0, 2, 3, 1], np.int64), "order")
    graph = helper.make_graph(nodes, "g", [x], [y], [order])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    # Which puts an Identity between the Reshape and the output, and may remove it at any time.
    identity_first = {"remove_identity": OPTIMIZERS["remove_identity"]} | OPTIMIZERS
    optimized = optimize_graph(GraphUtil.create_graph_from_onnx_model(model), False, identity_first)
    result: onnx.ModelProto = optimized.make_model("reshaped")
    (received,) = run_onnx(result, x=np.zeros((2, 1, 4, 12), np.float32))
    assert received.shape == (2, 4, 12, 1)
