"""Softmax over several axes, as in attention over an image's rows and columns, as one operator.

Keras takes the logarithm of a sum of exponentials there, which converts to some fifteen nodes.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import tensorflow as tf


def softmax(original: Callable, layer: Any, inputs: tf.Tensor, mask: Any = None) -> tf.Tensor:
    """What `keras.layers.Softmax` computes, with its axes as one if they are the last ones.

    A layer stays as it is over one axis, where sizes are free, and with a mask that is broadcast
    along only some of the axes.
    """
    rank, axes = len(inputs.shape), layer.axis
    axes = [axes] if isinstance(axes, int) else sorted(axis % rank for axis in axes)
    first = rank - len(axes)
    tensors = [inputs] if mask is None else [inputs, mask]
    last = [tensor.shape[-len(axes) :] for tensor in tensors]
    fixed = all(None not in tensor.shape[1:] for tensor in tensors)
    if len(axes) < 2 or first < 1 or axes[0] != first or not fixed or last[0] != last[-1]:
        return original(layer, inputs, mask)
    flat = [
        tf.reshape(tensor, [-1, *tensor.shape[1 : -len(axes)], last[0].num_elements()])
        for tensor in tensors
    ]
    return tf.reshape(original(SimpleNamespace(axis=-1), *flat), [-1, *inputs.shape[1:]])
