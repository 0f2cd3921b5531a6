"""What follows from the sizes of images alone, as constants of an ONNX graph.

Exporters compute the targets of Reshape and Resize when a network runs, from the shapes of its
tensors, although every size except the batch's is known before.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .onnx_file import session_of

_MOST_NUMBERS = 1024
_BROADCASTING = ("Add", "Div", "Mul", "Sub")

# A value in runs with different batches.
Runs = list[np.ndarray]


def settle_sizes(model: onnx.ModelProto, batches: Sequence[int]) -> None:
    """Make constants of what is the same for all of these batches, and of all targets of Reshape.

    A Reshape takes the size that follows from the batch from what it reshapes, and the first size
    where there is but one batch. There a Resize to sizes, of which that is one, gets scales. It
    fails where onnxruntime cannot run the model.
    """
    graph = model.graph
    follows = list(_of_sizes(graph))
    reshaped = [node.output[0] for node in graph.node if node.op_type == "Reshape"]
    resized = [node for node in graph.node if len(batches) == 1 and _has_all_sizes(node)]
    ends = (name for node in resized for name in (node.input[0], node.output[0]))
    shaped = list(dict.fromkeys([*reshaped, *ends]))
    runs = _run(model, [*follows, *map(_shape_name, shaped)], shaped, batches)
    for node in resized:
        taken, made = (runs[_shape_name(name)][0] for name in (node.input[0], node.output[0]))
        _take(graph, node, 2, np.array([*map(_scale, taken, made)], np.float32))
        del node.input[3]
    known = {name: runs[name][0] for name in follows if _is_small(runs[name]) and _same(runs[name])}
    nodes = [node for node in graph.node if node.output[0] not in known]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for name, values in known.items():
        _add(graph, name, values)
    constants = {each.name for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Reshape" and node.input[0] not in constants:
            _retarget(graph, node, runs[_shape_name(node.output[0])])
        elif node.op_type == "Expand" and node.input[1] in runs and _is_spread(graph, node):
            shapes = runs[node.input[1]]
            _take(graph, node, 1, np.where(_varying(shapes), 1, shapes[0]))
        elif node.op_type in _BROADCASTING:
            for place, name in enumerate(node.input):
                if name in runs and name not in known and _is_filled(runs[name]):
                    _take(graph, node, place, runs[name][0].reshape(-1)[:1])


def _has_all_sizes(node: onnx.NodeProto) -> bool:
    """Whether it is a Resize to a size for each axis."""
    settings = {each.name for each in node.attribute}
    partial = settings & {"axes", "keep_aspect_ratio_policy"}
    return node.op_type == "Resize" and len(node.input) > 3 and not partial


def _scale(taken: int, made: int) -> np.float32:
    """The number by which a Resize, which rounds down, makes one size of another."""
    scale = np.float32(made / taken)
    return scale if int(scale * np.float32(taken)) == made else np.nextafter(scale, np.float32(9e9))


def _is_spread(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Whether all that take an Expand's output would spread its input themselves."""
    takers = [other for other in graph.node if node.output[0] in other.input]
    outputs = {value.name for value in graph.output}
    return node.output[0] not in outputs and all(t.op_type in _BROADCASTING for t in takers)


def _of_sizes(graph: onnx.GraphProto) -> Iterator[str]:
    """The outputs of nodes that follow from shapes and constants."""
    follows = {"", *(each.name for each in graph.initializer)}
    for node in graph.node:
        if node.op_type == "Constant":
            follows.update(node.output)
        elif len(node.output) == 1 and _follows(node, follows):
            follows.update(node.output)
            yield node.output[0]


def _follows(node: onnx.NodeProto, follows: set[str]) -> bool:
    if node.op_type in ("Shape", "Size"):
        return True
    has_graph = any(attribute.HasField("g") for attribute in node.attribute)
    return not has_graph and follows.issuperset(node.input)


def _run(
    model: onnx.ModelProto, names: Sequence[str], shaped: Sequence[str], batches: Sequence[int]
) -> dict[str, Runs]:
    """These values, and the shapes of others, for batches of images of zeros."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    del copy.graph.output[:]
    copy.graph.node.extend(helper.make_node("Shape", [x], [_shape_name(x)]) for x in shaped)
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    if not names:
        return {}
    session = session_of(copy)
    values = [session.run(list(names), _zeros(model, batch)) for batch in batches]
    return {name: list(runs) for name, runs in zip(names, zip(*values, strict=True), strict=True)}


def _shape_name(name: str) -> str:
    return f"{name}/shape"


def _zeros(model: onnx.ModelProto, batch: int) -> dict[str, np.ndarray]:
    feeds = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [size.dim_value or batch for size in tensor.shape.dim]
        feeds[value.name] = np.zeros(shape, helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return feeds


def _retarget(graph: onnx.GraphProto, node: onnx.NodeProto, shapes: Runs) -> None:
    """Have a Reshape make this shape of whatever batch it gets."""
    varying = _varying(shapes)
    if varying.sum() > 1 or not varying.size:
        return
    place = int(varying.argmax()) if len(shapes) > 1 else 0
    if len(shapes) > 1 and not varying.any():
        target = shapes[0]
    else:
        target = np.where(np.arange(varying.size) == place, -1, shapes[0])
    del node.attribute[:]
    _take(graph, node, 1, target)


def _take(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, values: np.ndarray) -> None:
    """Give a node a constant for one of its inputs."""
    node.input[place] = f"{node.output[0]}/input{place}/{len(graph.initializer)}"
    _add(graph, node.input[place], values)


def _add(graph: onnx.GraphProto, name: str, values: np.ndarray) -> None:
    graph.initializer.append(numpy_helper.from_array(values, name))


def _varying(shapes: Runs) -> np.ndarray:
    return np.any([other != shapes[0] for other in shapes], axis=0)


def _same(runs: Runs) -> bool:
    return all(np.array_equal(runs[0], other) for other in runs)


def _is_small(runs: Runs) -> bool:
    return max(each.size for each in runs) <= _MOST_NUMBERS


def _is_filled(runs: Runs) -> bool:
    """Whether all runs hold the same number alone, as in a tensor of ones."""
    return all(each.size and (each == runs[0].reshape(-1)[0]).all() for each in runs)
