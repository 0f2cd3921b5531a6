"""Layer normalization of tokens as ONNX's operator for it, instead of thirteen others.

While Keras traces, gamma and beta stand behind a marker; once they are constants, the operator
takes them in.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from .graph import constants_of

# How the message of a CheckNumerics begins that stands for a layer normalization.
MARKER = "diffkiln layer normalization "


def layer_normalization(original: Callable, layer: Any, inputs: tf.Tensor) -> tf.Tensor:
    """gamma·(x − mean)/√(variance + epsilon) + beta over the last axis.

    A layer stays as it is over other axes, and on images: those lie channels first.
    """
    rank = len(inputs.shape)
    last = [axis % rank for axis in layer.axis] == [rank - 1]
    fits = last and inputs.dtype == tf.float32 and not layer.rms_scaling
    if rank > 3 or not fits or inputs.shape[-1] is None:
        return original(layer, inputs)
    about = {"epsilon": layer.epsilon, "channels": inputs.shape[-1]}
    marked = tf.raw_ops.CheckNumerics(tensor=inputs, message=MARKER + json.dumps(about))
    if layer.gamma is not None:
        marked = marked * tf.convert_to_tensor(layer.gamma)
    if layer.beta is not None:
        marked = marked + tf.convert_to_tensor(layer.beta)
    return tf.cast(marked, layer.compute_dtype)


def convert_layer_normalization(ctx: Any, source: str, message: str, ends: dict[str, Any]) -> None:
    """Make the operator that a marker's message stands for."""
    about = json.loads(message.removeprefix(MARKER))
    ones = ctx.make_const(f"{ends['outputs'][0]}/ones", np.ones(about["channels"], np.float32))
    settings = {"epsilon": about["epsilon"], "axis": -1}
    ctx.make_node("LayerNormalization", [source, ones.output[0]], attr=settings, **ends)


def take_in_weights(graph: onnx.GraphProto) -> None:
    """Make the constants behind each marked normalization, gamma and beta, its inputs."""
    constants, outputs = constants_of(graph), {value.name for value in graph.output}
    for node in [node for node in graph.node if node.op_type == "LayerNormalization"]:
        scale = constants.get(node.input[1])
        if scale is None or len(node.input) > 2 or not (scale == 1).all():
            continue  # of a file that has its own
        channels = scale.shape
        for operator, place in (("Mul", 1), ("Add", 2)):
            takers = [other for other in graph.node if node.output[0] in other.input]
            if len(takers) != 1 or takers[0].op_type != operator or node.output[0] in outputs:
                continue
            names = [name for name in takers[0].input if name in constants]
            if names and constants[names[0]].shape == channels:
                node.input[place:] = names
                node.output[:] = takers[0].output
                graph.node.remove(takers[0])
