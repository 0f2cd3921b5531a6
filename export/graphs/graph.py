"""ONNX graphs in Python: read, copied, cut into parts, made into models and run."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from onnx import helper, numpy_helper, shape_inference

OPSET = 18
BATCH = "N"

Tensors = Mapping[str, np.ndarray]
# From at least a graph's inputs, by name, to its outputs.
Call = Callable[[Tensors], Tensors]


def finished(graph: onnx.GraphProto) -> onnx.ModelProto:
    """The graph as a model that plain onnxruntime reads."""
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model_gen_version(graph, opset_imports=opsets, producer_name="diffkiln")


def value_info(
    spec: tf.TensorSpec, name: str | None = None, batch: str | int = BATCH
) -> onnx.ValueInfoProto:
    """Declare a tensor; a free first dimension is the batch."""
    shape = [batch if size is None else size for size in spec.shape]
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype.name))
    return helper.make_tensor_value_info(name or str(spec.name), dtype, shape)


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


def runner(model: bytes | str) -> Call:
    """A model of this content, or in the file of this path, as a function on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # since what fails is raised
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    inputs = {value.name: value.shape for value in session.get_inputs()}
    outputs = [value.name for value in session.get_outputs()]

    def run(tensors: Tensors) -> Tensors:
        given = {name: tensors[name] for name in inputs}
        numbers = {name: x.reshape(inputs[name]) for name, x in given.items() if not x.ndim}
        values = session.run(outputs, given | numbers)
        return dict(zip(outputs, map(np.asarray, values), strict=True))

    return run


def step_outputs(step: Call, tensors: Tensors) -> Iterator[Tensors]:
    """What a sampler's step returns in each of `steps` steps, from `noisy` and its other inputs."""
    nothing = np.zeros_like(tensors["noisy"])
    state = {**tensors, "previous_image": nothing, "earlier_image": nothing}
    for k in range(int(tensors["steps"])):
        outputs = step({**state, "step": np.array(k)})
        yield outputs
        state |= {name: outputs.get(f"next_{name}", value) for name, value in state.items()}


def taken_by(node: onnx.NodeProto) -> Iterator[str]:
    """What a node takes, in the bodies of a Loop as well."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from taken_by(inner)
        yield from (value.name for value in attribute.g.output)


def ancestors(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that lead to these outputs, in order."""
    wanted, leading = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted.update(taken_by(node))
            leading.append(node)
    return leading[::-1]


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes that lead to no output, and constants that no node or output takes."""
    outputs = [value.name for value in graph.output]
    nodes = ancestors(graph.node, outputs)
    taken = {*outputs, *(name for node in nodes for name in taken_by(node))}
    constants = [value for value in graph.initializer if value.name in taken]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)


def parts(
    model: onnx.ModelProto, prefix: str, names: Mapping[str, str], *, keep: Collection[str] = ()
) -> onnx.GraphProto:
    """A model's nodes and constants alone, with `prefix` before all names not in `names`.

    What is in `keep` keeps its name; constants among it are left out.
    """
    renaming = {"": "", **{name: name for name in keep}, **names}
    constants = [value for value in model.graph.initializer if value.name not in keep]
    graph = onnx.GraphProto(node=model.graph.node, initializer=constants)
    for node in nodes_of(graph):
        node.name = prefix + node.name
        node.input[:] = [renaming.get(name, prefix + name) for name in node.input]
        node.output[:] = [renaming.get(name, prefix + name) for name in node.output]
    for inner in graphs_of(graph):
        for value in (*inner.input, *inner.output, *inner.initializer, *inner.value_info):
            value.name = renaming.get(value.name, prefix + value.name)
    return graph
