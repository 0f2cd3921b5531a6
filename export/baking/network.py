"""Any Keras network as the function that a sampler calls, once its inputs and outputs fit."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ...trainer.errors import InputError

CONDITION_SHAPES = ((None,), (None, 1), (None, 1, 1, 1))


def adapted(network: keras.Model):
    """The network as a function of [noisy, condition float32 [N]], and labels int64 [N] if any.

    The function reshapes and casts them to what the network's own inputs are.
    """

    def call(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        noisy, *others = inputs
        pairs = zip(others, network.inputs[1:], strict=True)
        return network([noisy, *(_fitted(values, spec) for values, spec in pairs)])

    return call


def _fitted(values: tf.Tensor, spec: keras.KerasTensor) -> tf.Tensor:
    dtype = tf.as_dtype(spec.dtype)
    if dtype.is_integer and values.dtype.is_floating:
        values = tf.round(values)
    return tf.cast(tf.reshape(values, [-1, *spec.shape[1:]]), dtype)


def image_shape(network: keras.Model, *, classes: bool = False) -> tuple[int, int, int]:
    """Height, width and channels that a network denoises; with `classes` it takes labels too.

    Raises InputError for a network of another kind, in half precision, or with weights that are
    not finite.
    """
    if not isinstance(network, keras.Model) or not getattr(network, "inputs", None):
        raise InputError(
            f"network: got {type(network).__name__}, expected a functional keras.Model, whose "
            "inputs are known; wrap yours in keras.Model(inputs, outputs)"
        )
    inputs = [tuple(tensor.shape) for tensor in network.inputs]
    outputs = [tuple(tensor.shape) for tensor in network.outputs]
    if not _fits(inputs, 3 if classes else 2) or outputs != inputs[:1]:
        another = ", and another one of these" if classes else ""
        label = ", a label for each as class_names say" if classes else ""
        hint = "; give class_names if it takes labels" if len(inputs) == 3 and not classes else ""
        raise InputError(
            f"network: has inputs of shapes {inputs} and outputs of {outputs}, expected "
            f"[(None, H, W, C), (None,), (None, 1) or (None, 1, 1, 1){another}] and "
            "[(None, H, W, C)]: noisy images of a fixed size with 1 to 4 channels, a condition for "
            f"each{label}, and the prediction{hint}"
        )
    _require_float32(network)
    return inputs[0][1:]


def _fits(shapes: Sequence[tuple[int | None, ...]], count: int) -> bool:
    """Whether shapes are those of images and `count` − 1 numbers for each."""
    if len(shapes) != count or len(shapes[0]) != 4 or None in shapes[0][1:]:
        return False
    return shapes[0][-1] in range(1, 5) and all(s in CONDITION_SHAPES for s in shapes[1:])


def _require_float32(network: keras.Model) -> None:
    for layer in network.layers:
        if layer.compute_dtype in ("float16", "bfloat16"):
            raise InputError(
                f"network: its layer {layer.name} computes in {layer.compute_dtype}, expected "
                "float32; build it with that dtype policy and give it the same weights"
            )
    for variable in network.variables:
        if not np.isfinite(np.asarray(variable.numpy(), np.float32)).all():
            raise InputError(
                f"network: its weight {variable.path} is not finite; export an earlier checkpoint, "
                "or train again with a lower learning rate"
            )
