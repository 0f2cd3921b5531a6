"""Numbers that are special, or of another type, convert to what TensorFlow computes."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from converted_layers import Function, require_alike, whole
from keras import layers

ops: Any = keras.ops  # whose results have no types


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.cast(whole(x, "int32") % 3, "float32"),
        lambda x: ops.cast(whole(x, "int32") // 3, "float32"),
        lambda x: ops.cast(ops.digitize(x, np.array([-0.5, 0.5], np.float32)), "float32"),
        lambda x: ops.cast(ops.argmax(x, axis=1), "float32"),
        lambda x: ops.quantile(ops.abs(x), 0.995, axis=(1, 2, 3), keepdims=True),
        lambda x: ops.take_along_axis(x, ops.argsort(x, axis=2), axis=2),
        lambda x: ops.einsum("...c,...c->...", x, x),
        lambda x: tf.math.xlogy(x, tf.abs(x)),
        lambda x: tf.math.multiply_no_nan(1 / tf.nn.relu(x), tf.nn.relu(x)),
        lambda x: tf.where(x > 0, tf.math.log(x), 0.0),
        lambda x: ops.softmax(x + np.where(np.tri(12, 8) > 0, 0, -np.inf).astype(np.float32)),
    ],
    ids=[
        *("remainder", "quotient", "bins", "argmax", "quantile", "take along", "einsum", "xlogy"),
        *("no nan", "where", "mask"),
    ],
)
def test_numbers_that_are_special(function: Function) -> None:
    require_alike(function)


MADE_OF: dict[str, Callable[[str], Function]] = {
    "convolution": lambda dtype: layers.Conv2D(4, 3, padding="same", dtype=dtype),
    "groups": lambda dtype: layers.Conv2D(8, 3, groups=2, dtype=dtype),
    "transposed": lambda dtype: layers.Conv2DTranspose(4, 3, 2, padding="same", dtype=dtype),
    "normalization": lambda dtype: layers.GroupNormalization(4, dtype=dtype),
    "pooling": lambda dtype: layers.AveragePooling2D(2, dtype=dtype),
    "nearest": lambda dtype: layers.UpSampling2D(2, dtype=dtype),
    "bilinear": lambda dtype: layers.UpSampling2D(2, interpolation="bilinear", dtype=dtype),
    "area": lambda dtype: layers.Resizing(5, 7, interpolation="area", dtype=dtype),
    "gelu": lambda dtype: layers.Activation("gelu", dtype=dtype),
    "celu": lambda dtype: layers.Activation("celu", dtype=dtype),
    "tanh": lambda dtype: layers.Activation("tanh", dtype=dtype),
}
# By the digits that TensorFlow's own intermediate results have.
TYPES = {"float64": 1e-5, "float16": 1e-2, "bfloat16": 5e-2}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("made_of", MADE_OF)
def test_numbers_of_another_type(made_of: str, dtype: str) -> None:
    layer = MADE_OF[made_of](dtype)
    require_alike(lambda x: ops.cast(layer(ops.cast(x, dtype)), "float32"), tolerance=TYPES[dtype])


def test_rounding_to_bfloat16_is_exact() -> None:
    require_alike(lambda x: ops.cast(ops.cast(x, "bfloat16"), "float32"), tolerance=0)


def test_angles_in_double_precision_keep_it() -> None:
    """Beside a convolution of float64 numbers, which becomes one of float32 numbers."""
    convolution = layers.Conv2D(8, 1, kernel_initializer="zeros", dtype="float64")

    def call(x: Any) -> Any:
        x = ops.cast(x, "float64")
        return ops.cast(ops.sin(1e6 * x) + 0 * convolution(x), "float32")

    require_alike(call)  # of which float32 would know no digit
