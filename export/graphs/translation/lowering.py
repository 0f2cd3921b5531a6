"""Keras layers in forms that ONNX has one operator for, while a network is converted.

Inside `lowered_layers`, `GroupNormalization` leaves a marker in the TensorFlow graph that becomes
Reshape, InstanceNormalization, Reshape in the layout of the convolutions around it, instead of some
twenty nodes between two Transposes; `LayerNormalization` of tokens becomes one operator, and so do
nearest `UpSampling2D` and a softmax over several axes; what Keras compiles by itself traces as its
operators; and loops and lookups become plain operators (`unrolling.py`). The SavedModel keeps
Keras's own. Keras has no hook for this, so its functions are replaced meanwhile, for the thread
that converts alone.
"""

import contextlib
import functools
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from .attention import softmax
from .layer_normalization import layer_normalization
from .operators import MARKER
from .unrolling import looked_up, looped, mapped, recurrent

# Held while converting: replacing is global, and so are tf2onnx's counters and its logger.
_ONE_AT_A_TIME = threading.RLock()
_THIS_THREAD = threading.local()


@contextlib.contextmanager
def lowered_layers() -> Iterator[None]:
    """Have all Keras layers trace in their lowered forms, in this thread and no other meanwhile."""
    # On the classes, since layers of the user's own may hold these where no model lists them.
    with replaced(
        (keras.layers.GroupNormalization, "call", _group_normalization),
        (keras.layers.LayerNormalization, "call", layer_normalization),
        (keras.layers.Softmax, "call", softmax),
        (keras.layers.UpSampling2D, "call", _upsampling),
        (keras.Operation, "__call__", _named_call),
        (tf, "function", _uncompiled),
        (keras.layers.RNN, "inner_loop", recurrent),
        (keras.layers.GRU, "inner_loop", recurrent),
        (keras.layers.LSTM, "inner_loop", recurrent),
        (tf, "map_fn", mapped),
        (tf, "while_loop", looped),
        (tf.lookup.StaticHashTable, "lookup", looked_up),
    ):
        yield


@contextlib.contextmanager
def replaced(*replacements: tuple[Any, str, Callable[..., Any]]) -> Iterator[None]:
    """Have functions of owners replaced, by name, in this thread and no other meanwhile.

    A replacement takes the original first, then what that takes.
    """
    with _ONE_AT_A_TIME, contextlib.ExitStack() as stack:
        for owner, name, replacement in replacements:
            original = getattr(owner, name)
            stack.callback(setattr, owner, name, original)
            setattr(owner, name, _switch(original, replacement))
        stack.callback(setattr, _THIS_THREAD, "converts", False)
        _THIS_THREAD.converts = True
        yield


def _switch(original: Callable[..., Any], replacement: Callable[..., Any]) -> Callable[..., Any]:
    """The original, or in a thread that converts the replacement, which takes the original too."""

    @functools.wraps(original)  # since Keras reads the signatures of layers
    def call(*arguments: Any, **settings: Any) -> Any:
        if getattr(_THIS_THREAD, "converts", False):
            return replacement(original, *arguments, **settings)
        return original(*arguments, **settings)

    return call


def _uncompiled(original: Callable, *arguments: Any, **settings: Any) -> Any:
    """tf.function without XLA, which would hide the operators from tf2onnx."""
    return original(*arguments, **{**settings, "jit_compile": None})


def _named_call(original: Callable, operation: Any, *arguments: Any, **settings: Any) -> Any:
    """Trace what is not a layer, such as `keras.ops.erfinv`, under its name as layers do."""
    if isinstance(operation, keras.Layer):
        return original(operation, *arguments, **settings)
    with tf.name_scope(operation.name):
        return original(operation, *arguments, **settings)


def _group_normalization(original: Callable, layer: Any, inputs: tf.Tensor) -> tf.Tensor:
    """gamma·(x − mean)/√(variance + epsilon) + beta over positions and the channels of a group.

    A layer stays as it is if its channels are not last or the size of its images is free.
    """
    _, *image = inputs.shape
    if layer.axis not in (-1, len(image)) or len(image) < 2 or None in image:
        return original(layer, inputs)
    groups = image[-1] if layer.groups == -1 else layer.groups
    about = {"groups": groups, "epsilon": layer.epsilon, "image": image}
    marked = tf.raw_ops.CheckNumerics(tensor=inputs, message=MARKER + json.dumps(about))
    if layer.scale:
        marked = marked * tf.convert_to_tensor(layer.gamma)
    if layer.center:
        marked = marked + tf.convert_to_tensor(layer.beta)
    return marked


def _upsampling(original: Callable, layer: Any, inputs: tf.Tensor) -> tf.Tensor:
    """Nearest-neighbour upsampling by whole numbers, of images of a fixed size."""
    _, height, width, _ = inputs.shape
    fixed = height is not None and width is not None
    if not fixed or layer.interpolation != "nearest" or layer.data_format != "channels_last":
        return original(layer, inputs)
    size = (height * layer.size[0], width * layer.size[1])
    # Not tf.image.resize, whose half-pixel rule ONNX has deprecated; by whole numbers all agree.
    return tf.raw_ops.ResizeNearestNeighbor(images=inputs, size=size)
