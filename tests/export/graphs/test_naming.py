"""The same weights give the same files, whatever order and names tf2onnx came upon."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
import small_graphs
from onnx import TensorProto, helper, numpy_helper

from diffkiln.export.graphs.naming import canonical, copy_first_outputs

tensor = helper.make_tensor_value_info
make = helper.make_node


def constants(**values: float) -> list[onnx.TensorProto]:
    return [
        numpy_helper.from_array(np.array(value, np.float32), name) for name, value in values.items()
    ]


def model_of(
    nodes: Sequence[onnx.NodeProto], values: Sequence[onnx.TensorProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [tensor("x", TensorProto.FLOAT, ["N"]), tensor("steps", TensorProto.INT64, [])],
        [tensor("y", TensorProto.FLOAT, ["N"])],
        values,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def body_of(nodes: Sequence[onnx.NodeProto], values: Sequence[onnx.TensorProto]) -> onnx.GraphProto:
    return helper.make_graph(
        [make("Identity", ["yes"], ["on"], name="body/still"), *nodes],
        "b",
        [
            tensor("k", TensorProto.INT64, []),
            tensor("yes", TensorProto.BOOL, []),
            tensor("before", TensorProto.FLOAT, ["N"]),
        ],
        [tensor("on", TensorProto.BOOL, []), tensor("after", TensorProto.FLOAT, ["N"])],
        values,
    )


def one_way() -> onnx.ModelProto:
    """y = (2x · … + x + 3 …): two products beside each other, and a Loop that takes both."""
    body = body_of(
        [
            make("Mul", ["before", "double"], ["m:0"], name="body/network/conv/Mul__7"),
            make("Add", ["m:0", "c__3"], ["after"], name="body/network/conv/add"),
        ],
        constants(c__3=0.5),
    )
    nodes = [
        make("Mul", ["x", "two__1"], ["double"], name="strided_slice_4/Mul__12"),
        make("Mul", ["x", "three"], ["triple"], name="Mul_9"),
        make("Loop", ["steps", "", "triple"], ["y"], name="loop", body=body),
        make("Mul", ["x", "three"], ["unused"], name="Mul_10"),
    ]
    return model_of(nodes, constants(three=3, two__1=2, nowhere=9))


def another_way() -> onnx.ModelProto:
    body = body_of(
        [
            make("Mul", ["before", "d"], ["n:0"], name="body/network/conv/Mul__8"),
            make("Add", ["n:0", "c"], ["after"], name="body/network/conv/add_1"),
        ],
        constants(c=0.5),
    )
    nodes = [
        make("Mul", ["x", "3"], ["t"], name="Mul_1"),
        make("Mul", ["x", "2"], ["d"], name="strided_slice_2/Mul__13"),
        make("Loop", ["steps", "", "t"], ["y"], name="loop_2", body=body),
    ]
    return model_of(nodes, constants(**{"2": 2, "3": 3}))


def run(model: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feeds = {"x": np.array([1, -2], np.float32), "steps": np.array(2)}
    return np.asarray(session.run(None, feeds)[0])


@pytest.mark.parametrize("write", [one_way, another_way])
def test_it_computes_the_same(write: Callable[[], onnx.ModelProto]) -> None:
    model = write()
    before = run(model)
    canonical(model)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(run(model), before)


def test_two_ways_to_write_a_graph_become_one() -> None:
    models = [one_way(), another_way()]
    for model in models:
        canonical(model)
    assert models[0].SerializeToString() == models[1].SerializeToString()


def test_layers_and_the_scopes_of_the_exporter_stay() -> None:
    model = one_way()
    canonical(model)
    loop = model.graph.node[-1]
    assert [node.name for node in model.graph.node] == ["Mul", "Mul_1", "Loop"]
    assert [node.name for node in loop.attribute[0].g.node] == [
        "body/Identity",
        "body/network/conv/Mul",
        "body/network/conv/Add",
    ]
    assert [value.name for value in model.graph.initializer] == ["Mul/1", "Mul_1/1"]


@pytest.mark.parametrize("original", [0, 1, 2])
def test_the_first_of_equal_outputs_is_the_original(original: int) -> None:
    """Whichever is the result of a node, and whether the others copy it or each other."""
    names = ["a", "b", "c"]
    first, second, third = names[original:] + names[:original]
    nodes = [
        make("Neg", ["x"], [first]),
        make("Identity", [first], [second]),
        make("Identity", [second], [third]),
        make("Mul", [third, first], ["square"]),
    ]
    outputs = [tensor(name, TensorProto.FLOAT, ["N"]) for name in (*names, "square")]
    graph = helper.make_graph(nodes, "g", [tensor("x", TensorProto.FLOAT, ["N"])], outputs)
    copy_first_outputs(graph)
    contents = [(node.op_type, list(node.input), list(node.output)) for node in graph.node]
    assert contents == [
        ("Neg", ["x"], ["a"]),
        ("Mul", ["a", "a"], ["square"]),
        ("Identity", ["a"], ["b"]),
        ("Identity", ["a"], ["c"]),
    ]


@pytest.mark.slow
def test_another_process_makes_the_same_files() -> None:
    """All graphs, one loop back among them, of a network with layers that merge."""
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    process = subprocess.run(
        [sys.executable, small_graphs.__file__],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert process.stdout == small_graphs.digests()
