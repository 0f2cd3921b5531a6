"""Layer normalization of tokens as ONNX's operator for it, instead of thirteen others.

While Keras traces, gamma and beta stand behind a marker; once they are constants, `fusible` makes
them the operator's inputs.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

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
