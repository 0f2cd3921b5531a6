"""A cascade's graph may have a second Loop, of a constant number of trips, and nothing worse."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import GraphProto, NodeProto, TensorProto, helper
from onnx.numpy_helper import from_array

from diffkiln.runtime.checking import GraphError, Port, Signature, check
from diffkiln.runtime.checking.limits import MAX_UPSCALING_STEPS

INT64 = TensorProto.INT64
make, tensor = helper.make_node, helper.make_tensor_value_info
SIGNATURE = Signature(
    (Port("seeds", "int64", ("N",)), Port("steps", "int64", ())),
    (Port("images", "int64", ("N",)),),
)


def body(tag: str, *nodes: NodeProto) -> GraphProto:
    """A body that makes `{tag}/x` of `{tag}/x0`, by one Neg or by these nodes."""
    return helper.make_graph(
        [
            *(nodes or [make("Neg", [f"{tag}/x0"], [f"{tag}/x"])]),
            make("Identity", [f"{tag}/yes"], [f"{tag}/still"]),
        ],
        tag,
        [
            tensor(f"{tag}/k", INT64, []),
            tensor(f"{tag}/yes", TensorProto.BOOL, []),
            tensor(f"{tag}/x0", INT64, ["N"]),
        ],
        [tensor(f"{tag}/still", TensorProto.BOOL, []), tensor(f"{tag}/x", INT64, ["N"])],
    )


def loop(tag: str, trips: str, taken: str, *nodes: NodeProto) -> NodeProto:
    """A Loop that makes `tag` of the tensor `taken`."""
    return make("Loop", [trips, "", taken], [tag], tag, body=body(tag, *nodes))


def admitted(trips: str) -> NodeProto:
    """`trips` or none, as exporters write it."""
    return make("Where", ["admitted", trips, "none"], ["trips"])


def checked(nodes: Sequence[NodeProto], *, cascade: bool = True, **constants: Any) -> None:
    """Check a graph of these nodes, the last of which makes its output."""
    constants = {"none": 0, "some": 20, "one": 1, **constants}
    nodes = [
        make("Greater", ["steps", "none"], ["admitted"]),
        *nodes,
        make("Identity", [nodes[-1].output[0]], ["images"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [tensor("seeds", INT64, ["N"]), tensor("steps", INT64, [])],
        [tensor("images", INT64, ["N"])],
        [from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    check(model.SerializeToString(), SIGNATURE, cascade=cascade)


FIRST = loop("first", "steps", "seeds")
SECOND = loop("second", "trips", "first")


@pytest.mark.parametrize(
    "nodes",
    [
        (FIRST,),
        (FIRST, loop("second", "some", "first")),
        (FIRST, admitted("some"), SECOND),
        (admitted("some"), loop("first", "trips", "seeds"), loop("second", "steps", "first")),
        (FIRST, make("Add", ["some", "one"], ["more"]), admitted("more"), SECOND),
        (FIRST, make("Reshape", ["list", "shape"], ["number"]), admitted("number"), SECOND),
        (admitted("steps"), loop("first", "trips", "seeds"), loop("second", "some", "first")),
    ],
)
def test_a_loop_of_steps_and_one_of_constant_trips_are_taken(nodes: Sequence[NodeProto]) -> None:
    checked(nodes, list=[20], shape=np.zeros(0, np.int64))


def test_so_many_trips_are_the_most() -> None:
    checked([FIRST, admitted("most"), SECOND], most=MAX_UPSCALING_STEPS)


CONSTANT = "Loop of '[a-z]+' trips, expected the input 'steps' and up to 64 more, or a constant"
NESTED = "has a Loop inside of another, expected one after the other"


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((FIRST, loop("second", "steps", "first")), "more than one Loop that 'steps' ends"),
        (
            (FIRST, make("Add", ["steps", "one"], ["more"]), loop("second", "more", "first")),
            "more than one Loop that 'steps' ends",
        ),
        (
            (loop("first", "some", "seeds"), admitted("some"), SECOND),
            "more than one Loop of a constant number of trips",
        ),
        ((FIRST, admitted("some"), SECOND, loop("third", "one", "second")), "more than one Loop"),
        ((FIRST, admitted("some"), SECOND, loop("third", "steps", "second")), "more than one Loop"),
        # The number of trips.
        ((FIRST, admitted("many"), SECOND), CONSTANT),
        ((FIRST, admitted("minus"), SECOND), CONSTANT),
        ((FIRST, loop("second", "many", "first")), CONSTANT),
        ((FIRST, loop("second", "minus", "first")), CONSTANT),
        ((FIRST, loop("second", "none", "first")), CONSTANT),
        ((FIRST, admitted("none"), SECOND), CONSTANT),
        ((FIRST, make("Where", ["admitted", "some", "many"], ["trips"]), SECOND), CONSTANT),
        ((FIRST, make("Where", ["admitted", "steps", "some"], ["a"]), SECOND), "takes 'trips'"),
        ((FIRST, make("Add", ["most", "one"], ["trips"]), SECOND), CONSTANT),
        ((FIRST, make("Mul", ["steps", "some"], ["trips"]), SECOND), CONSTANT),
        ((FIRST, make("ReduceMax", ["seeds"], ["trips"], keepdims=0), SECOND), CONSTANT),
        ((FIRST, make("Where", ["admitted", "steps", "many"], ["trips"]), SECOND), CONSTANT),
        ((make("Add", ["steps", "steps"], ["trips"]), loop("first", "trips", "seeds")), CONSTANT),
        ((FIRST, loop("second", "list", "first")), CONSTANT),
        ((FIRST, loop("second", "", "first")), "Loop of '' trips, expected the input 'steps'"),
        # One inside the other.
        (
            (loop("first", "steps", "seeds", loop("first/x", "some", "first/x0")),),
            NESTED,
        ),
        (
            (loop("first", "some", "seeds", loop("first/x", "steps", "first/x0")),),
            NESTED,
        ),
        (
            (loop("first", "some", "seeds", loop("first/x", "some", "first/x0")),),
            NESTED,
        ),
        # What it carries.
        (
            (
                FIRST,
                loop(
                    "second",
                    "some",
                    "first",
                    make("Concat", ["second/x0", "second/x0"], ["second/x"], axis=0),
                ),
            ),
            r"a Loop that carries 'first' as int64\[N\] and gives it back as int64\[2N\]",
        ),
        (
            (
                FIRST,
                loop(
                    "second",
                    "some",
                    "first",
                    make("Cast", ["second/x0"], ["second/x"], to=TensorProto.FLOAT),
                ),
            ),
            "gives it back as float32",
        ),
    ],
)
def test_others_are_refused(nodes: Sequence[NodeProto], expected: str) -> None:
    with pytest.raises(GraphError, match=expected):
        checked(nodes, many=MAX_UPSCALING_STEPS + 1, most=MAX_UPSCALING_STEPS, minus=-1, list=[20])


def named_in_the_body(*, after: NodeProto, trips: str) -> list[NodeProto]:
    """The first body makes a small number, and a node behind it a large one of the same name."""
    inside = [make("Where", ["admitted", "one", "none"], [trips])]
    inside.append(make("Add", ["first/x0", trips], ["first/x"]))
    return [loop("first", "steps", "seeds", *inside), after, loop("second", trips, "first")]


@pytest.mark.parametrize(
    "after",
    [make("Mul", ["steps", "huge"], ["number"]), make("Identity", ["huge"], ["number"])],
    ids=["steps times a lot", "a lot"],
)
def test_a_name_of_an_earlier_body_says_nothing(after: NodeProto) -> None:
    with pytest.raises(GraphError, match="Loop of 'number' trips"):
        checked(named_in_the_body(after=after, trips="number"), huge=2**40)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((FIRST, admitted("some"), SECOND), "has more than one Loop"),
        ((FIRST, loop("second", "some", "first")), "has more than one Loop"),
        ((loop("first", "some", "seeds"),), "Loop of 'some' trips, expected the input 'steps' an"),
        ((admitted("some"), loop("first", "trips", "seeds")), "Loop of 'trips' trips"),
        ((loop("a", "steps", "seeds", loop("a/x", "steps", "a/x0")),), "has more than one Loop"),
    ],
)
def test_other_bundles_have_one_loop_of_steps(nodes: Sequence[NodeProto], expected: str) -> None:
    with pytest.raises(GraphError, match=expected) as caught:
        checked(nodes, cascade=False)
    assert "a constant" not in str(caught.value)


def products(tag: str) -> list[NodeProto]:
    """Nodes of a body that need two thirds of the multiply-adds that a step may need."""
    return [
        make("Cast", [f"{tag}/x0"], [f"{tag}/float"], to=TensorProto.FLOAT),
        make("Unsqueeze", [f"{tag}/float", "axes"], [f"{tag}/number"]),
        make("Expand", [f"{tag}/number", "rows"], [f"{tag}/rows"]),
        make("MatMul", [f"{tag}/rows", "weights"], [f"{tag}/product"]),
        make("ReduceMax", [f"{tag}/product", "axes"], [f"{tag}/most"], keepdims=0),
        make("Cast", [f"{tag}/most"], [f"{tag}/x"], to=INT64),
    ]


def test_the_work_of_both_is_added_up() -> None:
    sizes: dict[str, Any] = {"axes": [1, 2], "rows": [1, 683, 2048], "square": [2048, 2048]}
    weights = make("ConstantOfShape", ["square"], ["weights"])
    first = loop("first", "steps", "seeds", *products("first"))
    checked([weights, first, loop("second", "some", "first")], **sizes)
    with pytest.raises(GraphError, match=r"comes to 5\.76e\+09 multiply-adds a step and image"):
        checked([weights, first, loop("second", "some", "first", *products("second"))], **sizes)
