"""A network's graph such that its images stay as the convolutions of onnxruntime leave them.

On CPUs onnxruntime keeps channels in blocks from one convolution to the next, as long as all
between them are operators that know the blocks; an image is reordered before any other, and again
after it. A mean over channels is such another one, and so is a sum or product of what is not known
to have one shape. So here that mean is a convolution too, and the number of images, which is all of
a shape that is free, has one name throughout.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .graph import drop_unused, graphs_of

Sizes = tuple[int, ...]

# Below, or of another multiple, onnxruntime does not block the channels.
_LEAST_CHANNELS, _CHANNELS_MULTIPLE = 16, 4
# WebGPU promises a kernel 8 buffers: what it takes and what it makes.
_MOST_JOINED = 7
_END = 10**9  # which tf2onnx writes for the end of an axis
_OF_ONE_VALUE = ("Add", "Clip", "Div", "Max", "Mul", "Pow", "Reciprocal", "Sqrt")


def blocked(network: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with less in it that images would be reordered for.

    The numbers are the same but for rounding where a mean is added up in another order.
    """
    made = onnx.ModelProto()
    made.CopyFrom(network)
    for improve in (_keep_first_axes, _join_convolutions, _normalise_by_convolutions):
        improve(made.graph)
        drop_unused(made.graph)
    return made


def convolved(network: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """The result of each convolution that has an image for each that the network is given."""
    batch = network.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    values, sizes = _inferred(network.graph), _sizes(network.graph)
    return {
        name: values[name]
        for name in (node.output[0] for node in network.graph.node if node.op_type == "Conv")
        if name in sizes and values[name].type.tensor_type.shape.dim[0].dim_param == batch
    }


def declare_batch(
    model: onnx.ModelProto,
    prefix: str,
    images: Mapping[str, onnx.ValueInfoProto],
    batch: onnx.TensorShapeProto.Dimension,
) -> None:
    """Declare what is `convolved` of a network that a model holds, by names after `prefix`.

    Inside a Loop, and behind the choice of one evaluation or two, onnxruntime cannot see that all
    of it has one batch.
    """
    for graph in graphs_of(model.graph):
        for node in graph.node:
            image = images.get(node.output[0].partition(prefix)[2])
            if image is not None:
                declared = graph.value_info.add()
                declared.CopyFrom(image)
                declared.name = node.output[0]
                declared.type.tensor_type.shape.dim[0].CopyFrom(batch)


def _keep_first_axes(graph: onnx.GraphProto) -> None:
    """Have Reshapes that leave the first axis alone say so, and drop what changes nothing."""
    sizes, constants = _sizes(graph), _constants(graph)
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
            node.input[:] = [source, _constant(graph, f"{name}/shape", shape)]
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
    sizes, constants = _sizes(graph), _constants(graph)
    siblings: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        if node.op_type == "Conv" and all(name in constants for name in node.input[1:]):
            image, kernel = sizes.get(node.input[0], ()), constants[node.input[1]].shape[1:]
            if image == kernel and image[1:] == (1, 1):
                siblings.setdefault(node.input[0], []).append(node)
    for image, nodes in siblings.items():
        for start in range(0, len(nodes) - 1, _MOST_JOINED):
            _join(graph, image, nodes[start : start + _MOST_JOINED], constants)


def _join(
    graph: onnx.GraphProto,
    image: str,
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
) -> None:
    weights = [constants[node.input[1]] for node in nodes]
    biases = [_bias(node, constants) for node in nodes]
    parts = [node.output[0] for node in nodes]
    name = f"{parts[0]}/joined"
    inputs = [
        image,
        _constant(graph, f"{name}/weights", np.concatenate(weights)),
        _constant(graph, f"{name}/bias", np.concatenate(biases)),
    ]
    widths = np.array([len(kernel) for kernel in weights], np.int64)
    split = [name, _constant(graph, f"{name}/widths", widths)]
    joined = [
        helper.make_node("Conv", inputs, [name], name, kernel_shape=[1, 1]),
        helper.make_node("Split", split, parts, f"{name}/split", axis=1),
    ]
    _replace(graph, {parts[0]: joined, **{part: [] for part in parts[1:]}})


def _bias(convolution: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> np.ndarray:
    weights = constants[convolution.input[1]]
    if len(convolution.input) > 2:
        return constants[convolution.input[2]]
    return np.zeros(len(weights), weights.dtype)


def _normalise_by_convolutions(graph: onnx.GraphProto) -> None:
    """Take x·f(mean of x² over the channels) by a convolution to the mean, and one from f to x."""
    sizes, constants = _sizes(graph), _constants(graph)
    makers = {name: node for node in graph.node for name in node.output}
    new: dict[str, list[onnx.NodeProto]] = {}
    for product in [node for node in graph.node if node.op_type == "Mul"]:
        for image, factor in (product.input, product.input[::-1]):
            chain = _from_mean_square(image, factor, makers, constants)
            channels, *size = sizes.get(image) or (0,)
            if not chain or channels < _LEAST_CHANNELS or channels % _CHANNELS_MULTIPLE:
                continue
            if sizes.get(factor) == (1, *size):
                new |= _by_convolutions(graph, product, image, chain, channels, constants)
                break
    _replace(graph, new)


def _from_mean_square(
    image: str,
    factor: str,
    makers: Mapping[str, onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
) -> list[onnx.NodeProto]:
    """The nodes from the mean of the squares of an image's channels to a factor; [] if it is none.

    Between are operators of one value and single numbers.
    """
    chain: list[onnx.NodeProto] = []
    while factor in makers:
        node = makers[factor]
        chain.insert(0, node)
        if node.op_type == "ReduceMean":
            return chain if _is_mean_square(node, image, makers, constants) else []
        numbers = [name for name in node.input if name in constants and constants[name].size == 1]
        others = [name for name in node.input if name and name not in numbers]
        if node.op_type not in _OF_ONE_VALUE or len(others) != 1:
            return []
        factor = others[0]
    return []


def _is_mean_square(
    mean: onnx.NodeProto,
    image: str,
    makers: Mapping[str, onnx.NodeProto],
    constants: Mapping[str, np.ndarray],
) -> bool:
    square = makers.get(mean.input[0])
    axes = constants.get(mean.input[1]) if len(mean.input) > 1 else None
    dropped = [a for a in mean.attribute if a.name == "keepdims" and not a.i]
    if square is None or axes is None or axes.tolist() != [1] or dropped:
        return False
    if square.op_type == "Pow":
        exponent = constants.get(square.input[1])
        return square.input[0] == image and exponent is not None and exponent.tolist() == 2
    return square.op_type == "Mul" and list(square.input) == [image, image]


def _by_convolutions(
    graph: onnx.GraphProto,
    product: onnx.NodeProto,
    image: str,
    chain: Sequence[onnx.NodeProto],
    channels: int,
    constants: Mapping[str, np.ndarray],
) -> dict[str, list[onnx.NodeProto]]:
    """The nodes in the place of a chain's mean and of the product with its last value."""
    mean, *others = chain
    made = mean.output[0]
    kernel = np.full((1, channels, 1, 1), 1 / channels, np.float32)
    inputs = [mean.input[0], _constant(graph, f"mean{channels}/weights", kernel)]
    if others and others[0].op_type == "Add":
        (number,) = [constants[name] for name in others[0].input if name in constants]
        inputs.append(_constant(graph, f"{made}/bias", number.reshape(1)))
        made = others[0].output[0]
    new = {made: [helper.make_node("Conv", inputs, [made], made, kernel_shape=[1, 1])]}
    factor = chain[-1].output[0]
    ones = _constant(graph, f"spread{channels}/weights", np.ones((channels, 1, 1, 1), np.float32))
    spread = f"{product.output[0]}/factor"
    conv = helper.make_node("Conv", [factor, ones], [spread], spread, kernel_shape=[1, 1])
    product.input[:] = [image, spread]
    return new | {product.output[0]: [conv, product]}


def _replace(graph: onnx.GraphProto, new: Mapping[str, Sequence[onnx.NodeProto]]) -> None:
    """Put other nodes in the places of those with these first outputs."""
    nodes = [made for node in graph.node for made in new.get(node.output[0], [node])]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _constant(graph: onnx.GraphProto, name: str, values: np.ndarray) -> str:
    if all(value.name != name for value in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    return {value.name: numpy_helper.to_array(value) for value in graph.initializer}


def _sizes(graph: onnx.GraphProto) -> dict[str, Sizes]:
    """The sizes of all axes but the first, of each value of which they are known."""
    sizes = {}
    for name, value in _inferred(graph).items():
        shape = value.type.tensor_type.shape.dim
        if shape and all(size.dim_value for size in shape[1:]):
            sizes[name] = tuple(size.dim_value for size in shape[1:])
    return sizes


def _inferred(graph: onnx.GraphProto) -> dict[str, onnx.ValueInfoProto]:
    inferred = onnx.shape_inference.infer_shapes(helper.make_model(graph)).graph
    return {
        value.name: value for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
