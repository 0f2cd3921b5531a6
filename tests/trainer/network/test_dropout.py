"""Dropout without a state: what is left out follows from seeds, and the network's weights stay."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.network.layers import Dropout
from diffkiln.trainer.network.unet import build_unet

SHAPE = NetworkConfig(8, (8, 16), blocks=2, patch_size=2, attention_heads=4, num_classes=3)


def seeds(count: int = 8, *, key: int = 7) -> tf.Tensor:
    return tf.cast(tf.stack([tf.fill([count], key), tf.range(count)], axis=1), tf.int64)


def left(rate: float = 0.5, number: int = 0, *, key: int = 7, jit: bool = False) -> np.ndarray:
    """Eight images [3, 3, 5] of ones, after dropout."""
    images = tf.ones([8, 3, 3, 5])
    drop = tf.function(Dropout(rate, number), jit_compile=jit, autograph=False)
    return np.asarray(drop(images, seeds(key=key)))


@pytest.mark.parametrize("rate", [0.1, 0.75])
def test_the_rate_is_left_out_and_the_mean_stays(rate: float) -> None:
    values = Dropout(rate, 0)(tf.ones([8, 32, 32, 8]), seeds()).numpy()
    np.testing.assert_allclose(np.unique(values), [0, 1 / (1 - rate)], rtol=1e-4)
    # Five standard deviations of the share of 65,536 values, and 16 bits of the rate.
    assert np.mean(values == 0) == pytest.approx(rate, abs=5 * 0.5 / 256)


def test_images_layers_and_steps_differ() -> None:
    images = left()
    assert len({image.tobytes() for image in images}) == 8
    for other in (left(number=1), left(key=8)):
        # About half of the 360 values would be equal by chance.
        assert 0.3 < np.mean(images == other) < 0.7
    np.testing.assert_array_equal(images, left())


@pytest.mark.parametrize("jit", [False, True])
def test_a_part_of_a_batch_has_what_it_has_in_the_whole(jit: bool) -> None:
    drop = tf.function(Dropout(0.5, 3), jit_compile=jit, autograph=False)
    part = drop(tf.ones([2, 3, 3, 5]), seeds()[3:5])
    np.testing.assert_array_equal(part, left(number=3, jit=jit)[3:5])


def test_what_is_left_out_has_no_gradient() -> None:
    images = tf.random.stateless_normal([8, 3, 3, 5], (1, 0))
    with tf.GradientTape() as tape:
        tape.watch(images)
        output = Dropout(0.5, 0)(images, seeds())
    np.testing.assert_array_equal(np.asarray(tape.gradient(output, images)), left())


def test_the_weights_are_those_of_the_network_without() -> None:
    networks = []
    for rate in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        networks.append(build_unet(SHAPE, dropout=rate))
    plain, dropping = networks
    assert [each.path for each in dropping.weights] == [each.path for each in plain.weights]
    for ours, theirs in zip(dropping.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # A block for each of two, in two levels and two directions, and the middle one.
    counts = [sum(isinstance(x, Dropout) for x in each.layers) for each in networks]
    assert counts == [0, 9]
