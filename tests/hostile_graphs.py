"""Changes to a sound sampler.onnx that make it damaged or hostile, and what is said of each.

Each is of the model as `onnx` reads it; the pattern is that of the error once size, hash and seal
are right again, so that nothing but the check of the graph itself can have found it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx.numpy_helper import from_array

Change = Callable[[ModelProto], object]

HUGE = 2**40


@dataclass(frozen=True)
class GraphCase:
    """A change, and the pattern of its error."""

    name: str
    change: Change
    pattern: str


def loop(model: ModelProto) -> NodeProto:
    return next(node for node in model.graph.node if node.op_type == "Loop")


def body(model: ModelProto) -> GraphProto:
    return loop(model).attribute[0].g


def weights(model: ModelProto) -> TensorProto:
    """The largest constant of the Loop's body."""
    return max(body(model).initializer, key=lambda tensor: len(tensor.raw_data))


def constant(model: ModelProto, values: object, name: str = "evil_constant") -> str:
    model.graph.initializer.append(from_array(np.asarray(values), name))
    return name


def first(model: ModelProto, *nodes: NodeProto) -> None:
    """Put nodes before all others."""
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *kept])


def with_node(kind: str, *values: object, domain: str = "", **attributes: Any) -> Change:
    """A node of constants, at the start of the graph."""

    def change(model: ModelProto) -> None:
        names = [constant(model, value, f"evil{i}") for i, value in enumerate(values)]
        first(model, helper.make_node(kind, names, ["evil"], domain=domain, **attributes))

    return change


def misfit(model: ModelProto) -> None:
    """A Reshape of the seeds that only the number of them can prove wrong."""
    for node in model.graph.node:
        node.input[:] = ["evil" if name == "seeds" else name for name in node.input]
    shape = constant(model, np.array([7], np.int64))
    first(model, helper.make_node("Reshape", ["seeds", shape], ["evil"]))


def with_trips(make: Callable[[ModelProto], str]) -> Change:
    """A Loop that runs as often as the tensor says whose name `make` gives."""

    def change(model: ModelProto) -> None:
        name = make(model)  # which may move the nodes, so it comes first
        loop(model).input[0] = name

    return change


def multiplied_steps(model: ModelProto) -> str:
    node = helper.make_node("Mul", ["steps", constant(model, np.int64(HUGE))], ["many"])
    first(model, node)
    return "many"


def more_steps(extra: int) -> Change:
    def add(model: ModelProto) -> str:
        first(model, helper.make_node("Add", ["steps", constant(model, np.int64(extra))], ["more"]))
        return "more"

    return with_trips(add)


def steps_or(trips: int) -> Change:
    def choose(model: ModelProto) -> str:
        names = [constant(model, np.bool_(True), "yes"), "steps", constant(model, np.int64(trips))]
        first(model, helper.make_node("Where", names, ["either"]))
        return "either"

    return with_trips(choose)


def listed_steps(model: ModelProto) -> str:
    shape = constant(model, np.array([1]))
    first(model, helper.make_node("Reshape", ["steps", shape], ["listed"]))
    return "listed"


def cyclic(model: ModelProto) -> None:
    make = helper.make_node
    first(model, make("Neg", ["hen"], ["egg"]), make("Neg", ["egg"], ["hen"]))


def cyclic_body(model: ModelProto) -> None:
    body(model).node[0].input[0] = body(model).node[-1].output[0]


def loop_in_loop(model: ModelProto) -> None:
    inner = NodeProto.FromString(loop(model).SerializeToString())
    body(model).node.append(inner)


def numbered_body(model: ModelProto) -> None:
    loop(model).attribute[0].CopyFrom(helper.make_attribute("body", 1))


def graph_in_attribute(kind: str) -> Change:
    def change(model: ModelProto) -> None:
        node = helper.make_node(kind, [], ["evil"])
        node.attribute.append(helper.make_attribute("body", GraphProto(name="inner")))
        first(model, node)

    return change


def nested(model: ModelProto) -> None:
    graph = GraphProto(name="innermost")
    for _ in range(12):
        node = helper.make_node("Loop", ["steps", ""], ["evil"], body=graph)
        graph = helper.make_graph([node], "outer", [], [])
    first(model, *graph.node)


def chained_growth(model: ModelProto) -> None:
    """Each number is harmless by itself; their product is the size."""
    make, side = helper.make_node, constant(model, np.array([2**20, 2**10]), "side")
    first(
        model,
        make("Mul", [side, side], ["area"]),
        make("Cast", ["area"], ["same"], to=TensorProto.INT64),
        make("ConstantOfShape", ["same"], ["evil"]),
    )


def size_of_arithmetic(model: ModelProto) -> None:
    make, value = helper.make_node, constant(model, np.array([30.0], np.float32), "power")
    first(
        model,
        make("Exp", [value], ["large"]),
        make("Cast", ["large"], ["size"], to=TensorProto.INT64),
        make("ConstantOfShape", ["size"], ["evil"]),
    )


def set_weights(value: float, dtype: type = np.float32) -> Change:
    def change(model: ModelProto) -> None:
        tensor = weights(model)
        values = np.zeros(list(tensor.dims), dtype)
        values.flat[values.size // 2] = value
        tensor.CopyFrom(from_array(values, tensor.name))

    return change


def set_dims(*dims: int, data: bytes | None = None) -> Change:
    def change(model: ModelProto) -> None:
        del weights(model).dims[:]
        tensor = next(t for t in body(model).initializer if not t.dims and len(t.raw_data) > 99)
        tensor.dims.extend(dims)
        tensor.raw_data = tensor.raw_data if data is None else data

    return change


def external(location: str) -> Change:
    def change(model: ModelProto) -> None:
        tensor = weights(model)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return change


def renamed_weights(name: str) -> Change:
    def change(model: ModelProto) -> None:
        old = weights(model).name
        weights(model).name = name
        for node in body(model).node:
            node.input[:] = [name if given == old else given for given in node.input]

    return change


def without_weights(model: ModelProto) -> None:
    body(model).initializer.remove(weights(model))


def repeated_weights(model: ModelProto) -> None:
    body(model).initializer.append(weights(model))


def set_metadata(name: str, value: str | None) -> Change:
    def change(model: ModelProto) -> None:
        entry = next(e for e in model.metadata_props if e.key == f"diffkiln.{name}")
        if value is None:
            model.metadata_props.remove(entry)
        else:
            entry.value = value

    return change


def set_opset(version: int, domain: str = "") -> Change:
    def change(model: ModelProto) -> None:
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid(domain, version))

    return change


def convolution_attribute(name: str, value: object) -> Change:
    def change(model: ModelProto) -> None:
        node = next(n for n in body(model).node if n.op_type == "Conv")
        for attribute in [a for a in node.attribute if a.name == name]:
            node.attribute.remove(attribute)
        node.attribute.append(helper.make_attribute(name, value))

    return change


def attribute_by_reference(model: ModelProto) -> None:
    model.graph.node[0].attribute.append(
        AttributeProto(name="to", ref_attr_name="to", type=AttributeProto.INT)
    )


def many_nodes(model: ModelProto) -> None:
    model.graph.node.extend([NodeProto(op_type="Neg", input=["steps"], output=["x"])] * 40_001)
