"""What is known of tensors before a graph is run is what onnxruntime then makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from checked_nodes import FLOAT, IMAGE, X, array, facts_of, ops, run
from onnx import TensorProto
from onnx.numpy_helper import from_array

from diffkiln.runtime import open_bundle
from diffkiln.runtime.checking import GraphError, check
from diffkiln.runtime.checking.facts import Fact
from diffkiln.runtime.checking.operators import RULES
from diffkiln.runtime.checking.sizes import Rows, count, degree, is_exact, least


def require_size(size: Any, found: int, images: int, about: Any) -> None:
    """A size, or a number that sizes are computed from, is what it was said to be."""
    rows = images ** degree(size)
    assert least(size) * rows <= found <= count(size) * rows, about


def require_agreement(fact: Fact, made: np.ndarray, name: str, images: int) -> None:
    assert (fact.dtype, len(fact.shape)) == (made.dtype, made.ndim), (name, fact)
    for size, found in zip(fact.shape, made.shape, strict=True):
        require_size(size, found, images, (name, fact, made.shape))
    if fact.values is not None:
        for value, found in zip(fact.values.flat, made.flat, strict=True):
            if value is not None:
                require_size(value, found, images, (name, fact, made))


@pytest.mark.parametrize("bundle", ["tiny_bundle", "class_bundle", "fresh_bundle"])
@pytest.mark.parametrize("images", [1, 3])
def test_every_tensor_of_a_bundle(request: pytest.FixtureRequest, bundle: str, images: int) -> None:
    opened = open_bundle(request.getfixturevalue(bundle))
    for graph in opened.graphs.values():
        content, model = graph.content(), onnx.load(graph.file)
        names = [name for node in model.graph.node for name in node.output if name]
        facts = check(content, graph.signature).tensors
        for name, made in run(model, names, images).items():
            require_agreement(facts[name], made, name, images)
        # Hardly anything is left open: bounds are for the rows with and without guidance.
        exact = [all(map(is_exact, facts[name].shape)) for name in names]
        assert bundle == "class_bundle" or all(exact)


CASES: dict[str, tuple[tuple, list[onnx.NodeProto], list[TensorProto]]] = {
    "reductions": (
        X,
        ops(
            ("ReduceMean", ["x", "axes"], ["a"]),
            ("ReduceSum", ["x", "axes"], ["b"], {"keepdims": 0}),
            ("ReduceMax", ["x"], ["c"], {"keepdims": 0}),
            ("ReduceL2", ["x", "none"], ["d"], {"noop_with_empty_axes": 1}),
            ("ArgMax", ["x"], ["e"], {"axis": -1, "keepdims": 0}),
            ("TopK", ["x", "two"], ["f", "g"], {"axis": 1}),
            ("CumSum", ["x", "one"], ["h"]),
            ("Flatten", ["x"], ["flat"], {"axis": 2}),
            ("EyeLike", ["flat"], ["i"], {"dtype": TensorProto.INT64}),
            ("Transpose", ["x"], ["columns"], {"perm": [1, 2, 0, 3]}),
            ("ReverseSequence", ["columns", "lengths"], ["j"], {"batch_axis": 1, "time_axis": 0}),
        ),
        [
            *(array("axes", [1, -1]), array("none", [], np.int64)),
            *(array("two", [2]), array("one", 1), array("lengths", [4, 3, 2, 1, 4, 3])),
        ],
    ),
    "shapes": (
        X,
        ops(
            ("Shape", ["x"], ["s"]),
            ("Shape", ["x"], ["s2"], {"start": 1, "end": -1}),
            ("Size", ["x"], ["n"]),
            ("Gather", ["s", "last"], ["w"], {"axis": 0}),
            ("Slice", ["s", "one", "three"], ["middle"]),
            ("Concat", ["middle", "minus"], ["to"], {"axis": 0}),
            ("Reshape", ["x", "zeros"], ["a"]),
            ("Reshape", ["x", "keep"], ["b"]),
            ("Flatten", ["x"], ["c"], {"axis": 2}),
            ("Transpose", ["x"], ["d"], {"perm": [3, 1, 0, 2]}),
            ("Transpose", ["x"], ["e"]),
            ("Unsqueeze", ["x", "ends"], ["f"]),
            ("Squeeze", ["f", "ends"], ["g"]),
            ("ConstantOfShape", ["middle"], ["h"]),
            ("Expand", ["one", "middle"], ["i"]),
            ("Tile", ["x", "times"], ["j"]),
            ("Mul", ["middle", "three"], ["twelve"]),
            ("Max", ["twelve", "one", "three"], ["most"]),
            ("Neg", ["most"], ["below"]),
            ("Abs", ["below"], ["above"]),
            ("Div", ["above", "three"], ["third"]),
            ("Mod", ["below", "five"], ["rest"]),
            ("ReduceProd", ["s2"], ["area"], {"keepdims": 0}),
            ("Range", ["zero", "w0", "two0"], ["k"]),
            ("Cast", ["third"], ["float"], {"to": FLOAT}),
            ("Mul", ["float", "half"], ["halved"]),
            ("Floor", ["halved"], ["down"]),
            ("Ceil", ["halved"], ["up"]),
            ("Equal", ["middle", "one"], ["alike"]),
            ("Where", ["alike", "one", "middle"], ["chosen"]),
            ("Split", ["s"], ["p", "q"], {"num_outputs": 2}),
        ),
        [
            *(array("last", 3), array("one", [1]), array("three", [3]), array("minus", [-1])),
            *(array("zeros", [0, 0, -1]), array("keep", [0, -1, 2]), array("ends", [0, 5])),
            *(array("times", [1, 2, 1, 3]), array("five", [5]), array("zero", 0)),
            *(array("w0", 8), array("two0", 3), array("half", [0.3], np.float32)),
        ],
    ),
    "pieces": (
        X,
        ops(
            ("Slice", ["x", "ones", "ends", "axes", "steps"], ["a"]),
            ("Slice", ["x", "minus", "far", "last"], ["b"]),
            ("Slice", ["x", "end", "start", "last", "back"], ["c"]),
            ("Slice", ["x", "start", "far", "start"], ["all"]),
            ("Split", ["x", "parts"], ["d", "e"], {"axis": 3}),
            ("Split", ["x"], ["f", "g", "h"], {"axis": 2, "num_outputs": 3}),
            ("Concat", ["x", "x"], ["i"], {"axis": 0}),
            ("Concat", ["d", "e"], ["j"], {"axis": -1}),
            ("Gather", ["x", "table"], ["k"], {"axis": 1}),
            ("GatherND", ["x", "places"], ["l"]),
            ("GatherElements", ["x", "zeros"], ["m"], {"axis": 2}),
            ("Pad", ["x", "pads"], ["n"]),
            ("OneHot", ["table", "depth", "values"], ["o"], {"axis": 1}),
            ("Where", ["truth", "x", "number"], ["p"]),
            ("Trilu", ["x"], ["q"]),
            ("IsNaN", ["x"], ["r"]),
            ("Slice", ["x", "start", "start", "last"], ["nothing"]),
            ("Add", ["row", "nothing"], ["s"]),
            ("Concat", ["nothing", "x"], ["t"], {"axis": -1}),
            ("ReduceSum", ["nothing", "last"], ["u"]),
        ),
        [
            *(array("ones", [1, 2]), array("ends", [4, 7]), array("axes", [1, 3])),
            *(array("steps", [1, 2]), array("minus", [-3]), array("far", [10**9])),
            *(array("last", [3]), array("end", [-1]), array("start", [0]), array("back", [-1])),
            *(array("parts", [3, 5]), array("table", [[0, 1, 1], [3, 2, 1]])),
            array("zeros", np.zeros((1, 2, 3, 8)), np.int64),
            *(array("places", [[0, 1], [0, 3]]), array("pads", [0, 1, 0, 2, 0, 0, 3, 0])),
            *(array("depth", 5), array("values", [0, 1], np.float32)),
            *(array("truth", [True, False] * 4), array("number", 1, np.float32)),
            array("row", [[1]], np.float32),
        ],
    ),
    "windows": (
        IMAGE,
        ops(
            ("Conv", ["x", "w"], ["a"], {"pads": [1, 1, 1, 1]}),
            ("Conv", ["x", "w"], ["b"], {"strides": [2, 2], "pads": [0, 1, 2, 1]}),
            ("Conv", ["x", "w"], ["c"], {"dilations": [1, 1], "auto_pad": "NOTSET"}),
            ("Conv", ["x", "deep"], ["d"], {"group": 8, "dilations": [2, 1]}),
            ("Conv", ["x", "w"], ["wide"], {"pads": [3, 9, 40, 3], "strides": [2, 1]}),
            ("Conv", ["x", "w"], ["wider"], {"pads": [5, 3, 4, 6], "dilations": [2, 1]}),
            ("ConvTranspose", ["x", "t"], ["narrow"], {"strides": [4, 4], "pads": [3, 4, 9, 6]}),
            ("ConvTranspose", ["x", "t"], ["e"], {"strides": [2, 2]}),
            ("ConvTranspose", ["x", "t"], ["f"], {"strides": [2, 3], "pads": [1, 0, 1, 1]}),
            ("AveragePool", ["x"], ["g"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ("MaxPool", ["x"], ["h"], {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1}),
            ("MaxPool", ["x"], ["h2"], {"kernel_shape": [3, 3], "pads": [2, 1, 0, 1]}),
            ("GlobalAveragePool", ["x"], ["i"]),
            ("Resize", ["x", "", "scales"], ["j"]),
            ("Resize", ["x", "", "", "sizes"], ["k"]),
            ("Resize", ["x", "", "two"], ["l"], {"axes": [2, 3]}),
            ("DepthToSpace", ["x"], ["m"], {"blocksize": 2}),
            ("SpaceToDepth", ["x"], ["n"], {"blocksize": 2}),
            ("InstanceNormalization", ["x", "eight", "eight"], ["o"]),
            ("LayerNormalization", ["x", "four"], ["p"]),
            ("Softmax", ["x"], ["q"], {"axis": 1}),
        ),
        [
            array("w", np.ones((5, 8, 3, 3)), np.float32),
            array("deep", np.ones((16, 1, 3, 3)), np.float32),
            array("t", np.ones((8, 5, 3, 3)), np.float32),
            array("scales", [1, 1, 1.7, 0.5], np.float32),
            array("two", [2, 2.5], np.float32),
            array("sizes", [1, 8, 9, 2]),
            array("eight", np.ones(8), np.float32),
            array("four", np.ones(4), np.float32),
        ],
    ),
    "products": (
        X,
        ops(
            ("MatMul", ["x", "m"], ["a"]),
            ("MatMul", ["x", "v"], ["b"]),
            ("MatMul", ["v2", "x"], ["c"]),
            ("MatMul", ["stack", "x"], ["d"]),
            ("Flatten", ["x"], ["flat"], {"axis": 3}),
            ("Gemm", ["flat", "m"], ["e"]),
            ("Gemm", ["flat", "mt"], ["f"], {"transB": 1}),
            ("Gemm", ["mt", "m"], ["g"], {"transA": 1, "transB": 1}),
            ("Einsum", ["x", "x"], ["h"], {"equation": "nhqd, nhkd -> nhqk"}),
            ("Einsum", ["x", "m"], ["i"], {"equation": "abcd,de->abce"}),
            ("Einsum", ["x"], ["j"], {"equation": "abcd->adb"}),
        ),
        [
            array("m", np.ones((8, 3)), np.float32),
            array("mt", np.ones((3, 8)), np.float32),
            array("v", np.ones(8), np.float32),
            array("v2", np.ones(6), np.float32),
            array("stack", np.ones((4, 2, 6)), np.float32),
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("images", [1, 3])
def test_operators(case: str, images: int) -> None:
    value, nodes, constants = CASES[case]
    if images > 1:
        # These are of one image alone.
        nodes = [node for node in nodes if node.output[0] not in ("k", "g") or case == "shapes"]
        nodes = [node for node in nodes if case != "products" or node.output[0] != "g"]
    model, facts = facts_of(nodes, constants, value)
    names = [output for node in nodes for output in node.output]
    for output, made in run(model, names, images).items():
        require_agreement(facts[output], made, output, images)


def test_every_rule_is_compared(class_bundle: Path) -> None:
    compared = {node.op_type for _, nodes, _ in CASES.values() for node in nodes}
    for file in class_bundle.glob("*.onnx"):
        compared |= {node.op_type for node in onnx.load(file).graph.node}
    rules = {RULES[kind] for kind in compared if kind in RULES}
    assert not {kind for kind, rule in RULES.items() if rule not in rules}


def test_the_greatest_of_sizes_that_are_alike_is_a_size() -> None:
    nodes = ops(
        ("Shape", ["x"], ["s"], {"end": 1}),
        ("Concat", ["s", "s"], ["both"], {"axis": 0}),
        ("ReduceMax", ["both"], ["greatest"], {"keepdims": 0}),
        ("Max", ["s", "s"], ["greater"]),
        ("Max", ["s", "two"], ["unlike"]),
    )
    _, facts = facts_of(nodes, [array("two", [2])], X)
    sizes = [facts[name].values for name in ("s", "greatest", "greater")]
    assert [numbers.item() for numbers in sizes if numbers is not None] == [Rows(1, 1)] * 3
    assert facts["unlike"].values is None


@pytest.mark.parametrize("mask", [np.float32(np.nan), [0.0, -np.inf], [[-np.inf], [0.0]]])
def test_numbers_that_are_compared_and_masks_may_be_infinite(mask: Any) -> None:
    facts_of(ops(("Neg", ["mask"], ["y"])), [array("mask", mask, np.float32)], X)


@pytest.mark.parametrize("weights", [[1.0, np.inf], [0.0, np.nan], [0.0, np.inf], [-np.inf]])
def test_weights_may_not_be_infinite(weights: Any) -> None:
    with pytest.raises(GraphError, match="has the constant 'w' with weights that are not finite"):
        facts_of(ops(("Neg", ["w"], ["y"])), [array("w", weights, np.float32)], X)


def test_an_error_knows_its_node() -> None:
    nodes = ops(("Neg", ["x"], ["y"]), ("Squeeze", ["y"], ["z"]))
    nodes[1].name = "layer/Squeeze"
    with pytest.raises(GraphError, match="cannot be run: Squeeze") as caught:
        facts_of(nodes, [], X)
    assert caught.value.node == "layer/Squeeze"


def test_only_whole_numbers_are_followed() -> None:
    nodes = ops(
        ("Mul", ["a", "a"], ["square"]), ("Cast", ["a"], ["cast"], {"to": TensorProto.INT64})
    )
    _, facts = facts_of(nodes, [array("a", [2.0], np.float32)], X)
    assert facts["square"].values is None
    assert facts["cast"].values == [None]


def test_a_number_of_steps_that_overflows_is_not_known() -> None:
    nodes = ops(("Mul", ["a", "a"], ["many"]), ("Add", ["steps", "many"], ["more"]))
    constants = [from_array(np.array(2**32), "a")]
    _, facts = facts_of(nodes, constants, ("steps", TensorProto.INT64, []))
    assert facts["many"].constant
    assert facts["many"].values == [None]
    assert facts["more"].values is None


def test_memory_is_that_of_the_tensors_that_are_still_to_be_read() -> None:
    """Fifty tensors of 64 MiB one after the other are no more than two of them."""
    chain = ops(
        ("Expand", ["x", "many"], ["t0"]),
        *(("Neg", [f"t{k}"], [f"t{k + 1}"]) for k in range(50)),
    )
    constants, value = [array("many", [2**24])], ("x", FLOAT, [1])
    assert facts_of(chain, constants, value)[1]["t50"].shape == (2**24,)
    kept = ops(("Sum", [f"t{k}" for k in range(1, 9)], ["all"]))
    with pytest.raises(GraphError, match="bytes of tensors for one image"):
        facts_of([*chain, *kept], constants, value)
