"""Any Keras network as what a sampler calls, and as one ONNX graph."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from ..trainer.errors import InputError

CONDITION_SHAPES = ((None,), (None, 1), (None, 1, 1, 1))


def adapted(network: keras.Model):
    """The network as a function of [noisy, condition float32 [N]].

    It gets the condition in the shape and dtype of its own second input.
    """
    spec = network.inputs[1]
    shape, dtype = [-1, *spec.shape[1:]], tf.as_dtype(spec.dtype)

    def call(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        noisy, condition = inputs
        if dtype.is_integer:
            condition = tf.round(condition)
        return network([noisy, tf.cast(tf.reshape(condition, shape), dtype)])

    return call


def image_shape(network: keras.Model) -> tuple[int, int, int]:
    """Height, width and channels that a network denoises.

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
    fits = len(inputs) == 2 and len(inputs[0]) == 4 and None not in inputs[0][1:]
    fits = fits and 1 <= inputs[0][-1] <= 4
    if not fits or inputs[1] not in CONDITION_SHAPES or outputs != inputs[:1]:
        raise InputError(
            f"network: has inputs of shapes {inputs} and outputs of {outputs}, expected "
            "[(None, H, W, C), (None,), (None, 1) or (None, 1, 1, 1)] and [(None, H, W, C)]: noisy "
            "images of a fixed size with 1 to 4 channels, a condition for each, and the prediction"
        )
    _require_float32(network)
    return inputs[0][1:]


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
