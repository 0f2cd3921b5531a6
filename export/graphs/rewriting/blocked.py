"""A network's graph such that its images stay as the convolutions of onnxruntime leave them.

On CPUs onnxruntime keeps channels in blocks between convolutions, and reorders the image before and
after any operator that cannot read those: a mean over channels, a sum or product of images not
known to have one shape. So here that mean becomes a convolution, and the number of images, the only
free size, has one name throughout.
"""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
import onnx
from onnx import helper

from ..graph import (
    add_constant,
    constants_of,
    drop_unused,
    graphs_of,
    inferred,
    replace_nodes,
    sizes_of,
)

Sizes = tuple[int, ...]

# Below, or of another multiple, onnxruntime does not block the channels.
_LEAST_CHANNELS, _CHANNELS_MULTIPLE = 16, 4
# WebGPU promises a kernel 8 buffers: what it takes and what it makes.
_MOST_JOINED = 7
_END = 10**9  # which tf2onnx writes for the end of an axis
_OF_ONE_VALUE = ("Add", "Clip", "Div", "Max", "Mul", "Pow", "Reciprocal", "Sqrt")


def blocked(network: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with less in it that images would be reordered for.

    The numbers are the same except for rounding where a mean is added up in another order.
    """
    copy = deepcopy(network)
    for improve in (_keep_first_axes, _join_convolutions, _normalise_by_convolutions):
        improve(copy.graph)
        drop_unused(copy.graph)
    return copy


def declare_batch(
    model: onnx.ModelProto,
    prefix: str,
    network: onnx.ModelProto,
    batch: str | int,
    *,
    separate_batches: bool = False,
) -> None:
    """Declare what a network's convolutions make of its batch, in a model that has it at `prefix`.

    Inside a Loop, and behind the choice of one evaluation or two, onnxruntime cannot see that all
    of it has one batch. With `separate_batches`, each place of the network has its own.
    """
    values, sizes = inferred(network.graph), _sizes(network.graph)
    types = {name: values[name].type.tensor_type for name in sizes}
    own_batch = types[network.graph.input[0].name].shape.dim[0].dim_param
    outputs = {node.output[0] for node in network.graph.node if node.op_type == "Conv"}
    images = {n for n in outputs & set(types) if types[n].shape.dim[0].dim_param == own_batch}
    for graph in graphs_of(model.graph):
        for node in graph.node:
            scope, _, name = node.output[0].partition(prefix)
            if name in images:
                rows = f"{scope}{batch}" if separate_batches else batch
                shape, dtype = [rows, *sizes[name]], types[name].elem_type
                image = helper.make_tensor_value_info(node.output[0], dtype, shape)
                graph.value_info.append(image)


class _Facts:
    """Constants, makers of values, and sizes of all axes except the first, of a graph.

    `numbers` are the constants of one number, and the name of an input that is left out.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants, self.sizes = constants_of(graph), _sizes(graph)
        self.makers = {name: node for node in graph.node for name in node.output}
        self.numbers = {"", *(name for name, value in self.constants.items() if value.size == 1)}


def _keep_first_axes(graph: onnx.GraphProto) -> None:
    """Have Reshapes that leave the first axis alone say so, and drop what changes nothing."""
    sizes, constants = _sizes(graph), constants_of(graph)
    outputs = {value.name for value in graph.output}
    sources: dict[str, str] = {}
    same: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        name = node.output[0]
        if _takes_all(node, constants) and name not in outputs:
            same[name] = node.input[0]
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        first, *target = constants[node.input[1]].tolist()
        source = sources.get(node.input[0], node.input[0])
        others = sizes.get(source)
        if others is None or first > 0 or min(target, default=1) < 1:
            continue
        if math.prod(others) == math.prod(target):
            shape = np.array([0, *target], np.int64)
            node.input[:] = [source, add_constant(graph, f"{name}/shape", shape)]
            sources[name] = source
            if others == (*target,) and name not in outputs:
                same[name] = source


def _takes_all(node: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> bool:
    """Whether a node is a Slice of everything, as `x[:, None]` leaves one."""
    if node.op_type != "Slice" or any(name not in constants for name in node.input[1:]):
        return False
    # Behind them come the axes, which are all where they are left out, and the steps.
    starts, ends, *others = (constants[name] for name in node.input[1:])
    forwards = len(others) < 2 or bool(np.all(others[1] == 1))
    return forwards and not np.any(starts) and bool(np.all(ends >= _END))


def _join_convolutions(graph: onnx.GraphProto) -> None:
    """Join convolutions that take the same image of one pixel, as of an embedding, into fewer."""
    sizes, constants = _sizes(graph), constants_of(graph)
    siblings: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        if node.op_type == "Conv" and all(name in constants for name in node.input[1:]):
            image, kernel = sizes.get(node.input[0], ()), constants[node.input[1]].shape[1:]
            if image == kernel and image[1:] == (1, 1):
                siblings.setdefault(node.input[0], []).append(node)
    for nodes in siblings.values():
        for start in range(0, len(nodes) - 1, _MOST_JOINED):
            _join(graph, nodes[start : start + _MOST_JOINED], constants)


def _join(
    graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto], constants: Mapping[str, np.ndarray]
) -> None:
    weights = [constants[node.input[1]] for node in nodes]
    biases = [
        constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(kernel), kernel.dtype)
        for node, kernel in zip(nodes, weights, strict=True)
    ]
    outputs = [node.output[0] for node in nodes]
    name = f"{outputs[0]}/joined"
    inputs = [
        nodes[0].input[0],
        add_constant(graph, f"{name}/weights", np.concatenate(weights)),
        add_constant(graph, f"{name}/bias", np.concatenate(biases)),
    ]
    widths = np.array([len(kernel) for kernel in weights], np.int64)
    split = [name, add_constant(graph, f"{name}/widths", widths)]
    joined = [
        helper.make_node("Conv", inputs, [name], name, kernel_shape=[1, 1]),
        helper.make_node("Split", split, outputs, f"{name}/split", axis=1),
    ]
    _replace(graph, {outputs[0]: joined, **{output: [] for output in outputs[1:]}})


def _normalise_by_convolutions(graph: onnx.GraphProto) -> None:
    """Take x·f(mean of x² over the channels) by a convolution to the mean, and one from f to x."""
    facts = _Facts(graph)
    new: dict[str, list[onnx.NodeProto]] = {}
    for product in [node for node in graph.node if node.op_type == "Mul"]:
        for image, factor in (product.input, product.input[::-1]):
            chain = _from_mean_square(facts, image, factor)
            channels, *size = facts.sizes.get(image) or (0,)
            if not chain or channels < _LEAST_CHANNELS or channels % _CHANNELS_MULTIPLE:
                continue
            if facts.sizes.get(factor) == (1, *size):
                new |= _mean_convolution(graph, chain, channels, facts)
                new |= _spread_convolution(graph, product, image, factor, channels)
                break
    _replace(graph, new)


def _from_mean_square(facts: _Facts, image: str, factor: str) -> list[onnx.NodeProto]:
    """The nodes from the mean of the squares of an image's channels to a factor; [] if it is none.

    Between are operators of one value and single numbers.
    """
    node = facts.makers.get(factor)
    if node is None:
        return []
    if node.op_type == "ReduceMean":
        return [node] if _is_mean_square(facts, node, image) else []
    others = [name for name in node.input if name not in facts.numbers]
    if node.op_type not in _OF_ONE_VALUE or len(others) != 1:
        return []
    chain = _from_mean_square(facts, image, others[0])
    return [*chain, node] if chain else []


def _is_mean_square(facts: _Facts, mean: onnx.NodeProto, image: str) -> bool:
    square = facts.makers.get(mean.input[0])
    axes = facts.constants.get(mean.input[1]) if len(mean.input) > 1 else None
    dropped = [a for a in mean.attribute if a.name == "keepdims" and not a.i]
    if square is None or axes is None or axes.tolist() != [1] or dropped:
        return False
    if square.op_type == "Pow":
        exponent = facts.constants.get(square.input[1])
        return square.input[0] == image and exponent is not None and exponent.tolist() == 2
    return square.op_type == "Mul" and list(square.input) == [image, image]


def _mean_convolution(
    graph: onnx.GraphProto, chain: Sequence[onnx.NodeProto], channels: int, facts: _Facts
) -> dict[str, list[onnx.NodeProto]]:
    """The convolution in the place of a chain's mean, and of the number added to it next."""
    mean, *others = chain
    output = mean.output[0]
    kernel = np.full((1, channels, 1, 1), 1 / channels, np.float32)
    inputs = [mean.input[0], add_constant(graph, f"mean{channels}/weights", kernel)]
    if others and others[0].op_type == "Add":
        constants = facts.constants
        (number,) = [constants[name] for name in others[0].input if name in constants]
        inputs.append(add_constant(graph, f"{output}/bias", number.reshape(1)))
        output = others[0].output[0]
    return {output: [helper.make_node("Conv", inputs, [output], output, kernel_shape=[1, 1])]}


def _spread_convolution(
    graph: onnx.GraphProto, product: onnx.NodeProto, image: str, factor: str, channels: int
) -> dict[str, list[onnx.NodeProto]]:
    """A product of an image and one factor for all channels, as one with a factor for each."""
    weights = np.ones((channels, 1, 1, 1), np.float32)
    inputs = [factor, add_constant(graph, f"spread{channels}/weights", weights)]
    spread = f"{product.output[0]}/factor"
    convolution = helper.make_node("Conv", inputs, [spread], spread, kernel_shape=[1, 1])
    product.input[:] = [image, spread]
    return {product.output[0]: [convolution, product]}


def _replace(graph: onnx.GraphProto, new: Mapping[str, Sequence[onnx.NodeProto]]) -> None:
    """Put other nodes in the places of the nodes with these first outputs."""
    nodes = [other for node in graph.node for other in new.get(node.output[0], [node])]
    replace_nodes(graph, nodes)


def _sizes(graph: onnx.GraphProto) -> dict[str, Sizes]:
    """The sizes of all axes except the first, of each value of which they are known."""
    shapes = {name: sizes_of(value) for name, value in inferred(graph).items()}
    whole = {name: shape for name, shape in shapes.items() if shape and None not in shape[1:]}
    return {name: tuple(size or 0 for size in shape[1:]) for name, shape in whole.items()}
