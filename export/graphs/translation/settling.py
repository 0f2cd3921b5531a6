"""What follows from the sizes of images alone, computed while a network is converted.

TensorFlow asks for the shape of a tensor when a network runs, although every size except the
batch's is known before. Sizes, places and branches that follow from it become constants here.
"""

from typing import Any

import numpy as np
import tensorflow as tf

# What follows from the sizes alone is the same for all batches: for each of these, and where each
# free size is another (of batches, of their pixels …), by how much more it is than the last.
_BATCHES = ((1, 0), (2, 0), (1009, 0), (1013, 1))
_MOST_NUMBERS = 1024
_MOST_ROUNDS = 8
# What may have no value, since another branch is taken.
_BRANCHING = {"Merge", "RefSwitch", "Switch", "_SwitchN"}
_TYPES = (tf.bool, tf.int32, tf.int64, tf.float32)

Values = dict[str, np.ndarray]


def settled(frozen: Any) -> Any:
    """A GraphDef with constants in the place of what follows from sizes and constants alone.

    In rounds, since TensorFlow then knows more sizes.
    """
    for _ in range(_MOST_ROUNDS):
        with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
            tf.import_graph_def(frozen, name="")
            values = _values(graph)
            frozen = graph.as_graph_def()
        if not values:
            break
        for node in frozen.node:
            if node.name in values:
                node.CopyFrom(_constant(node.name, values[node.name]))
    return frozen


def known_value(tensor: tf.Tensor) -> np.ndarray | None:
    """The numbers of a tensor in a graph that is being traced, None if only a run shows them."""
    graph = tensor.graph
    return _computed(graph, [tensor]).get(tensor.op.name)


def _constant(name: str, value: np.ndarray) -> Any:
    with tf.Graph().as_default() as graph:
        tf.constant(value, name="constant")
        node = graph.as_graph_def().node[0]
    node.name = name
    return node


def _values(graph: tf.Graph) -> Values:
    """What follows from sizes and constants alone, by the operation that makes it."""
    follows: set[str] = set()
    wanted = []
    for operation in graph.get_operations():
        if _asks_for_shape(operation) or _follows(operation, follows):
            follows.add(operation.name)
            if operation.type != "Const" and _is_small(operation):
                wanted.append(operation.outputs[0])
    return _computed(graph, wanted)


def _asks_for_shape(operation: tf.Operation) -> bool:
    return operation.type == "Shape" and _has_sizes(operation.inputs[0].shape)


def _has_sizes(shape: tf.TensorShape) -> bool:
    return shape.rank is not None and None not in tuple(shape)[1:]


def _follows(operation: tf.Operation, follows: set[str]) -> bool:
    if operation.type == "Const":
        return True
    inputs = [tensor.op.name for tensor in operation.inputs]
    return bool(inputs) and _is_pure(operation) and follows.issuperset(inputs)


def _is_pure(operation: tf.Operation) -> bool:
    """Whether its inputs alone decide what an operation makes."""
    definition = operation.op_def
    return bool(definition) and not definition.is_stateful and operation.type not in _BRANCHING


def _is_small(operation: tf.Operation) -> bool:
    if len(operation.outputs) != 1 or operation.outputs[0].dtype not in _TYPES:
        return False
    elements = operation.outputs[0].shape.num_elements()
    return elements is not None and elements <= _MOST_NUMBERS


def _computed(graph: tf.Graph, tensors: list[tf.Tensor]) -> Values:
    """The tensors that are the same for all batches."""
    shapes = _shapes_below(tensors)
    if not tensors or shapes is None:
        return {}
    runs = []
    with tf.compat.v1.Session(graph=graph) as session:
        for batch, more in _BATCHES:
            feeds = {
                shape.name: _sizes(shape.op.inputs[0].shape, batch + more * place)
                for place, shape in enumerate(shapes)
            }
            runs.append(_run(session, tensors, feeds))
    names = [tensor.op.name for tensor in tensors]
    pairs = zip(names, *runs, strict=True)
    return {name: first for name, first, *rest in pairs if all(_same(first, x) for x in rest)}


def _run(session: Any, tensors: list[tf.Tensor], feeds: dict[str, Any]) -> list[Any]:
    """The numbers of each tensor, None for one that is not made for shapes such as these."""
    try:
        return session.run(tensors, feeds)
    except tf.errors.OpError:
        if len(tensors) == 1:
            return [None]
        return [_run(session, [tensor], feeds)[0] for tensor in tensors]


def _same(a: Any, b: Any) -> bool:
    return a is not None and np.shape(a) == np.shape(b) and np.array_equal(a, b)


def _sizes(shape: tf.TensorShape, batch: int) -> list[int]:
    return [batch if size is None else size for size in shape]


def _shapes_below(tensors: list[tf.Tensor]) -> list[tf.Tensor] | None:
    """The shapes that tensors are computed of; None if they are computed of something else."""
    shapes, seen = [], set()
    left = [tensor.op for tensor in tensors]
    while left:
        operation = left.pop()
        if operation.name in seen or operation.type == "Const":
            continue
        seen.add(operation.name)
        if _asks_for_shape(operation):
            shapes.append(operation.outputs[0])
        elif not operation.inputs or not _is_pure(operation):
            return None
        else:
            left += [tensor.op for tensor in operation.inputs]
    return shapes
