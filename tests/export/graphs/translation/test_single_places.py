"""Feature maps of one place, whose axes can be transposed without moving a number."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_models import run_onnx, with_random_weights

from diffkiln.export.graphs.conversion import convert
from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.network.unet import build_unet


def require_the_same(network: keras.Model, shape: tuple[int, ...]) -> None:
    """The graph predicts what Keras does for five samples."""
    specs = [tf.TensorSpec([None, *shape], tf.float32, "x"), tf.TensorSpec([None], tf.float32, "t")]
    function: Any = tf.function(
        lambda x, t: {"prediction": network([x, t], training=False)}, input_signature=specs
    )
    x = np.random.default_rng(0).normal(size=(5, *shape)).astype(np.float32)
    t = np.linspace(0, 1, 5, dtype=np.float32)
    (received,) = run_onnx(convert(function), x=x, t=t)
    assert np.allclose(received, function(x, t)["prediction"], atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((3,), 1), ((1,), 3), ((1, 5), 2), ((4, 3), 3), ((1, 1, 4), 1), ((4, 4, 3), 3)],
)
def test_a_unet_down_to_one_place(shape: tuple[int, ...], levels: int) -> None:
    config = NetworkConfig(
        image_size=8, array_shape=shape, widths=(8,) * levels, blocks=1, patch_size=1
    )
    require_the_same(with_random_weights(build_unet(config)), shape)


@pytest.mark.parametrize("norm", [layers.LayerNormalization, layers.UnitNormalization])
def test_a_normalisation_of_one_place(norm: Any) -> None:
    x, t = keras.Input((3,)), keras.Input(())
    h = norm()(layers.Conv2D(8, 1)(layers.Reshape((1, 1, 3))(x)))
    h = keras.ops.silu(h * layers.Conv2D(8, 1)(layers.Reshape((1, 1, 1))(t)) + h)
    output = layers.Reshape((3,))(layers.Conv2D(3, 1)(layers.Conv2D(8, 1)(h)))
    require_the_same(with_random_weights(keras.Model([x, t], output)), (3,))
