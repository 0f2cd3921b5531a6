"""Numbers of type bfloat16 as float32 numbers that are rounded as often.

tf2onnx takes them for float16, which has other numbers, and onnxruntime has no operators for them
on a CPU.
"""

from typing import Any

import numpy as np
import tensorflow as tf

_SHORT = tf.bfloat16.as_datatype_enum
_SINGLE = tf.float32.as_datatype_enum
# What moves numbers makes none that are to be rounded.
_MOVING = """
BroadcastTo ConcatV2 Const DepthToSpace ExpandDims GatherNd GatherV2 Identity MaxPool MirrorPad Neg
Pack Pad PadV2 Relu Reshape ResizeNearestNeighbor ReverseV2 Roll Slice SpaceToDepth Split SplitV
Squeeze StridedSlice Tile Transpose Unpack
"""


def without_bfloat16(frozen: Any) -> Any:
    """A GraphDef without functions, in which float32 stands for bfloat16."""
    made = _made_short(frozen)
    if not made:
        return frozen
    rounded: dict[str, str] = {}
    for node in list(frozen.node):
        _retype(node)
        if node.op not in _MOVING.split():
            rounded |= {name: _add_rounding(frozen, name) for name in made.get(node.name, ())}
    adding = set(rounded.values())
    for node in frozen.node:
        if node.name.rpartition("/")[0] not in adding:
            node.input[:] = [rounded.get(name, name) for name in node.input]
    return frozen


def _made_short(frozen: Any) -> dict[str, list[str]]:
    """The tensors of type bfloat16 by the nodes that make them, as nodes take them."""
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        tf.import_graph_def(frozen, name="")
    made: dict[str, list[str]] = {}
    for operation in graph.get_operations():
        for tensor in operation.outputs:
            if tensor.dtype == tf.bfloat16:
                made.setdefault(operation.name, []).append(tensor.name.removesuffix(":0"))
    return made


def _retype(node: Any) -> None:
    for attribute in node.attr.values():
        if attribute.type == _SHORT:
            attribute.type = _SINGLE
        elif attribute.HasField("list"):
            types = attribute.list.type
            types[:] = [_SINGLE if dtype == _SHORT else dtype for dtype in types]
        elif attribute.tensor.dtype == _SHORT:
            values = tf.make_ndarray(attribute.tensor).astype(np.float32)
            attribute.tensor.CopyFrom(tf.make_tensor_proto(values))


def _add_rounding(frozen: Any, name: str) -> str:
    """Round x to 8 digits: y − (y − x) for y = (2¹⁶ + 1)·x (Dekker, 1971); the result's name."""
    base = f"{name.replace(':', '_')}/rounded"
    constant = frozen.node.add(name=f"{base}/factor", op="Const")
    constant.attr["dtype"].type = _SINGLE
    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.float32(2**16 + 1)))
    for operator, result, inputs in (
        ("Mul", f"{base}/y", (name, f"{base}/factor")),
        ("Sub", f"{base}/rest", (f"{base}/y", name)),
        ("Sub", base, (f"{base}/y", f"{base}/rest")),
    ):
        node = frozen.node.add(name=result, op=operator, input=inputs)
        node.attr["T"].type = _SINGLE
    return base
