"""The U-Net of arrays of one to three axes."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.network.layers import NearestUpsampling
from diffkiln.trainer.network.unet import build_unet


def shape_of(*shape: int, **settings: Any) -> NetworkConfig:
    common = {"image_size": 8, "widths": (8, 16), "blocks": 1, "patch_size": 1}
    return NetworkConfig(**{**common, "array_shape": shape, **settings})


def shaken(config: NetworkConfig) -> Any:
    """A network with every weight moved, so that none of its zeros hides a path."""
    network = build_unet(config)
    for index, variable in enumerate(network.trainable_variables):
        noise = tf.random.stateless_normal(variable.shape, (index, 0))
        variable.assign(variable + 0.1 * noise)
    return network


def kernels(network: Any) -> set[tuple[int, ...]]:
    return {tuple(each.shape[:2]) for each in network.trainable_variables if each.shape.rank == 4}


@pytest.mark.parametrize(
    ("shape", "patch_size", "sizes"),
    [
        ((5,), 1, {(1, 1)}),
        ((1, 5), 2, {(1, 1)}),
        ((7, 3), 1, {(1, 1), (3, 1)}),
        ((7, 3), 2, {(1, 1), (3, 1)}),
        ((1, 7, 2), 2, {(1, 1), (1, 3)}),
        ((6, 9, 5), 2, {(1, 1), (3, 3)}),
    ],
)
def test_shapes_and_kernels(
    shape: tuple[int, ...], patch_size: int, sizes: set[tuple[int, ...]]
) -> None:
    network = shaken(shape_of(*shape, patch_size=patch_size, attention_heads=2))
    noisy = tf.random.stateless_normal([2, *shape], (1, 1))
    output = network([noisy, tf.constant([0.1, 0.9])])
    assert (output.shape, output.dtype) == ((2, *shape), tf.float32)
    assert kernels(network) == sizes


def test_every_number_of_a_sample_counts_and_no_other_sample() -> None:
    network, time = shaken(shape_of(7, 3, patch_size=2)), tf.zeros([2])
    noisy = tf.Variable(tf.random.stateless_normal([2, 7, 3], (1, 1)))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.square(network([noisy, time])[0]))
    gradient = np.asarray(tape.gradient(total, noisy))
    assert (gradient[0] != 0).all()
    assert (gradient[1] == 0).all()


def test_padding_is_where_a_larger_array_would_be() -> None:
    """Far from its end, a padded array gives what it gives inside a longer one."""
    short, long = shaken(shape_of(61, 3)), build_unet(shape_of(128, 3))
    long.set_weights(short.get_weights())
    noisy, time = tf.random.stateless_normal([1, 128, 3], (1, 1)), tf.zeros([1])
    output, longer = short([noisy[:, :61], time]), long([noisy, time])
    difference = np.abs(output[0] - longer[0, :61]).max(axis=1)
    # Eight convolutions of the upper level see 8 to each side, and six of the lower one 12.
    assert difference[:40].max() < 1e-5  # float32 sums in another order
    assert difference[60] > 1e-3


def test_how_large_the_numbers_are_is_seen_from_the_first_step() -> None:
    network = shaken(shape_of(1))
    outputs = network([tf.constant([[0.1], [1.0], [10.0]]), tf.zeros([3])]).numpy()
    assert len(np.unique(outputs.round(3))) == 3


def test_upsampling_along_one_axis() -> None:
    images = tf.random.stateless_normal([1, 3, 1, 2], (1, 0))
    with tf.GradientTape() as tape:
        tape.watch(images)
        output = NearestUpsampling((2, 1))(images)
    np.testing.assert_array_equal(output, np.repeat(images, 2, 1))
    np.testing.assert_array_equal(tape.gradient(output, images), np.full((1, 3, 1, 2), 2.0))


@pytest.mark.parametrize("shape", [(), (0,), (2, 2, 2, 2), (2**13, 2**12)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected 1 to 3 axes without an empty one, of at most"):
        shape_of(*shape)
