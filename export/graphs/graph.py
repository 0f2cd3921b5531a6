"""ONNX graphs in Python: read, copied, cut into parts and made into models."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import onnx
import tensorflow as tf
from onnx import helper, numpy_helper, shape_inference

OPSET = 18
BATCH = "N"


def finished(graph: onnx.GraphProto) -> onnx.ModelProto:
    """The graph as a model that plain onnxruntime reads."""
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model_gen_version(graph, opset_imports=opsets, producer_name="diffkiln")


def value_info(spec: tf.TensorSpec, name: str | None = None) -> onnx.ValueInfoProto:
    """Declare a tensor; a free first dimension is the batch."""
    shape = [BATCH if size is None else size for size in spec.shape]
    return helper.make_tensor_value_info(name or str(spec.name), onnx_dtype(spec), shape)


def onnx_dtype(spec: tf.TensorSpec) -> int:
    """The number of a tensor's dtype in ONNX."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype.name))


def renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    """A copy of the declaration under another name."""
    copy = deepcopy(value)
    copy.name = name
    return copy


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all graphs inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_of(attribute.g)


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of all graphs inside it."""
    for inner in graphs_of(graph):
        yield from inner.node


def replace_nodes(graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto]) -> None:
    """Put these nodes in the place of the graph's; they may be some of its own."""
    copies = [deepcopy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def inferred(graph: onnx.GraphProto, *, data_prop: bool = False) -> dict[str, onnx.ValueInfoProto]:
    """Inputs, values and outputs by name, with the shapes that ONNX infers."""
    model = shape_inference.infer_shapes(finished(graph), data_prop=data_prop).graph
    return {value.name: value for value in (*model.input, *model.value_info, *model.output)}


def sizes_of(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """The sizes of a declared tensor's axes, None where free."""
    return tuple(size.dim_value or None for size in value.type.tensor_type.shape.dim)


def constants_of(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """The graph's constants by name."""
    return {value.name: numpy_helper.to_array(value) for value in graph.initializer}


def add_constant(graph: onnx.GraphProto, name: str, values: np.ndarray) -> str:
    """Add a constant unless the graph has one of this name; the name."""
    if all(value.name != name for value in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def ancestors(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that lead to these outputs, in order."""
    wanted, leading = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted.update(node.input)
            leading.append(node)
    return leading[::-1]


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes that lead to no output, and constants that no node or output takes."""
    outputs = [value.name for value in graph.output]
    nodes = ancestors(graph.node, outputs)
    taken = {*outputs, *(name for node in nodes for name in node.input)}
    constants = [value for value in graph.initializer if value.name in taken]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)


@dataclass
class Parts:
    """Nodes in the order they run, with the constants they use."""

    nodes: list[onnx.NodeProto]
    constants: list[onnx.TensorProto]

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(self.nodes + other.nodes, self.constants + other.constants)


def parts(
    model: onnx.ModelProto, prefix: str, names: Mapping[str, str], *, keep: Collection[str] = ()
) -> Parts:
    """A copy of a model's nodes and constants, with `prefix` before all names not in `names`.

    Constants of `keep` keep their names, and are left out.
    """
    renaming = {"": "", **{name: name for name in keep}, **names}
    graph = deepcopy(model.graph)
    for node in graph.node:
        node.name = prefix + node.name
        node.input[:] = [renaming.get(name, prefix + name) for name in node.input]
        node.output[:] = [renaming.get(name, prefix + name) for name in node.output]
    constants = [value for value in graph.initializer if value.name not in keep]
    for constant in constants:
        constant.name = renaming.get(constant.name, prefix + constant.name)
    return Parts(list(graph.node), constants)
