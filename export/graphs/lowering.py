"""Keras layers in forms that ONNX has one operator for, while a network is converted.

tf2onnx takes `GroupNormalization` apart into some twenty nodes between two Transposes, and nearest
`UpSampling2D` into Tiles between two more. Inside `lowered_layers` the first leaves a marker in the
TensorFlow graph that becomes Reshape, InstanceNormalization, Reshape in the layout of the
convolutions around it, and the second becomes one Resize. What Keras compiles by itself, such as a
convolution in groups, traces as its operators. The SavedModel keeps Keras's own.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_MARKER = "diffkiln group normalization "

# What an Einsum is called while tf2onnx is at work.
KEPT_EINSUM = "KeptEinsum"


@contextlib.contextmanager
def lowered_layers() -> Iterator[None]:
    """Have the layers of all Keras models trace in their lowered forms."""
    lowered = {
        keras.layers.GroupNormalization: _group_normalization,
        keras.layers.UpSampling2D: _upsampling,
    }
    # On the classes, since layers of the user's own may hold these where no model lists them.
    kept = {layer: layer.call for layer in lowered}
    for layer, lower in lowered.items():
        layer.call = _lowering(layer.call, lower)
    # Untyped, since a module's type lets nothing be replaced.
    tensorflow: Any = tf
    compiling, tensorflow.function = tf.function, _uncompiled(tf.function)
    try:
        yield
    finally:
        tensorflow.function = compiling
        for layer, call in kept.items():
            layer.call = call


def custom_operators() -> dict[str, Any]:
    """How tf2onnx is to convert the marker, and what it has no conversion of."""
    return {
        "CheckNumerics": (_convert_marker, []),
        "Einsum": (_convert_einsum, []),
        "Erfc": (_convert_erfc, []),
        "Expm1": (_convert_expm1, []),
        "Log1p": (_convert_log1p, []),
    }


def _lowering(call: Callable, lower: Callable[..., tf.Tensor | None]) -> Callable:
    def lowered_call(self: Any, inputs: tf.Tensor) -> tf.Tensor:
        lowered = lower(self, inputs)
        return call(self, inputs) if lowered is None else lowered

    return lowered_call


def _uncompiled(function: Callable) -> Callable:
    """tf.function without XLA, which would hide the operators from tf2onnx."""

    def traced(*arguments: Any, **settings: Any) -> Any:
        return function(*arguments, **{**settings, "jit_compile": None})

    return traced


def _group_normalization(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """gamma·(x − mean)/√(variance + epsilon) + beta over positions and the channels of a group.

    None for a layer that has its channels in another place, or is given images whose size is free;
    it stays as it is.
    """
    _, *image = inputs.shape
    if layer.axis not in (-1, len(image)) or len(image) < 2 or None in image:
        return None
    groups = image[-1] if layer.groups == -1 else layer.groups
    about = {"groups": groups, "epsilon": layer.epsilon, "image": image}
    marked = tf.raw_ops.CheckNumerics(tensor=inputs, message=_MARKER + json.dumps(about))
    if layer.scale:
        marked = marked * tf.convert_to_tensor(layer.gamma)
    if layer.center:
        marked = marked + tf.convert_to_tensor(layer.beta)
    return marked


def _upsampling(layer: Any, inputs: tf.Tensor) -> tf.Tensor | None:
    """Nearest-neighbour upsampling by whole numbers, of images of a fixed size."""
    _, height, width, _ = inputs.shape
    if layer.interpolation != "nearest" or layer.data_format != "channels_last":
        return None
    if height is None or width is None:
        return None
    size = (height * layer.size[0], width * layer.size[1])
    # Not tf.image.resize, whose half-pixel rule ONNX has deprecated; by whole numbers all agree.
    return tf.raw_ops.ResizeNearestNeighbor(images=inputs, size=size)


def _convert_marker(ctx: Any, node: Any, *_: Any) -> None:
    """Replace a marker by InstanceNormalization over groups; a CheckNumerics of others by nothing.

    Transposes to channels first and back stand around it, for the clean-up to cancel against those
    of the convolutions.
    """
    message = node.get_attr("message").s.decode()
    source, outputs = node.input[0], node.output
    dtypes, shapes = node.output_dtypes, node.output_shapes
    if not message.startswith(_MARKER):
        ctx.remove_node(node.name)
        ctx.make_node("Identity", [source], outputs=outputs, dtypes=dtypes, shapes=shapes)
        return
    about = json.loads(message.removeprefix(_MARKER))
    # As TensorFlow knew it: tf2onnx forgets the size of what bilinear upsampling makes.
    groups, (*size, channels) = about["groups"], about["image"]
    rank = len(size) + 2
    to_first = [0, rank - 1, *range(1, rank - 1)]
    to_last = [0, *range(2, rank), 1]
    ctx.remove_node(node.name)

    def made(operator: str, inputs: list[str], **attributes: Any) -> str:
        return ctx.make_node(operator, inputs, attr=attributes, dtypes=dtypes).output[0]

    def constant(name: str, values: Any, dtype: Any) -> str:
        return ctx.make_const(f"{node.name}/{name}", np.array(values, dtype)).output[0]

    first = made("Transpose", [source], perm=to_first)
    grouped = made("Reshape", [first, constant("groups", [0, groups, -1], np.int64)])
    ones, zeros = (constant(f"all_{v}", [v] * groups, np.float32) for v in (1, 0))
    normal = made("InstanceNormalization", [grouped, ones, zeros], epsilon=about["epsilon"])
    back = [-1, channels, *size]
    image = made("Reshape", [normal, constant("image", back, np.int64)])
    ctx.make_node(
        "Transpose", [image], attr={"perm": to_last}, outputs=outputs, dtypes=dtypes, shapes=shapes
    )


def _convert_erfc(ctx: Any, node: Any, *_: Any) -> None:
    """erfc(x) = 1 − erf(x), of the exact GELU."""
    _convert_to_chain(ctx, node, ("Erf", "x"), ("Sub", "1x"))


def _convert_expm1(ctx: Any, node: Any, *_: Any) -> None:
    """expm1(x) = exp(x) − 1, of CELU; near 0 to 1e-7, the last digit of the 1."""
    _convert_to_chain(ctx, node, ("Exp", "x"), ("Sub", "x1"))


def _convert_log1p(ctx: Any, node: Any, *_: Any) -> None:
    """log1p(x) = log(x + 1), as near as expm1."""
    _convert_to_chain(ctx, node, ("Add", "x1"), ("Log", "x"))


def _convert_to_chain(ctx: Any, node: Any, *chain: tuple[str, str]) -> None:
    """Replace a node by others, each of the result of the one before ("x") and the number 1."""
    outputs, kept = node.output, {"dtypes": node.output_dtypes, "shapes": node.output_shapes}
    named = {
        "x": node.input[0],
        "1": ctx.make_const(f"{node.name}/one", np.array(1, np.float32)).output[0],
    }
    ctx.remove_node(node.name)
    *others, (last, terms) = chain
    for operator, letters in others:
        inputs = [named[letter] for letter in letters]
        named["x"] = ctx.make_node(operator, inputs, **kept).output[0]
    ctx.make_node(last, [named[letter] for letter in terms], outputs=outputs, **kept)


def _convert_einsum(ctx: Any, node: Any, *_: Any) -> None:
    """Weights over the last axis by MatMul, and others by ONNX's own Einsum.

    tf2onnx reads capital letters as small ones, and takes sums apart into Transposes.
    """
    inputs, equation, outputs = list(node.input), node.get_attr("equation").s, node.output
    dtypes, shapes, last = node.output_dtypes, node.output_shapes, node.inputs[-1]
    taken, _, made = equation.decode().partition("->")
    image, _, weights = taken.partition(",")
    dense = len(weights) == 2 and image[-1:] + made[-1:] == weights and image[:-1] == made[:-1]
    letters = [*image.replace("...", ""), weights[-1:]]
    dense = dense and len(set(letters)) == len(letters)  # none twice, as on a diagonal
    kind, attributes = KEPT_EINSUM, {"equation": equation}
    if dense and last.is_const():
        kind, attributes = "MatMul", {}
    ctx.remove_node(node.name)
    ctx.make_node(kind, inputs, attr=attributes, outputs=outputs, dtypes=dtypes, shapes=shapes)
