"""The network and its layers."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.network.layers import (
    DepthToSpace,
    NearestUpsampling,
    PixelNorm,
    SelfAttention,
    SpaceToDepth,
    TimeEmbedding,
)
from diffkiln.trainer.network.unet import build_unet

SMALL = NetworkConfig(image_size=8, widths=(8, 16), blocks=1, patch_size=2)
ATTENTIVE = replace(SMALL, attention_heads=4)


def shaken(network: keras.Model) -> keras.Model:
    """The network with every weight moved, so that none of its zeros hides a path."""
    for index, variable in enumerate(network.trainable_variables):
        noise = tf.random.stateless_normal(variable.shape, (index, 0))
        variable.assign(variable + 0.1 * noise)
    return network


def inputs(batch: int = 3) -> list[tf.Tensor]:
    images = tf.random.stateless_normal([batch, 8, 8, 3], (1, 1))
    return [images, tf.linspace(0.0, 1.0, batch)]


both_networks = pytest.mark.parametrize("shape", [SMALL, ATTENTIVE], ids=["plain", "attentive"])


@both_networks
def test_a_new_network_predicts_zero(shape: NetworkConfig) -> None:
    np.testing.assert_array_equal(build_unet(shape)(inputs()), np.zeros([3, 8, 8, 3]))


@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_patching_keeps_the_shape(patch_size: int) -> None:
    network = build_unet(NetworkConfig(8, (8, 16), 1, patch_size))
    assert network(inputs()).shape == (3, 8, 8, 3)


def test_names_do_not_depend_on_what_was_built_before() -> None:
    config = replace(SMALL, num_classes=3, guidance_range=(1.0, 2.0))
    once, again = ([x.name for x in build_unet(config).layers] for _ in range(2))
    assert once == again


@both_networks
def test_every_weight_gets_a_gradient(shape: NetworkConfig) -> None:
    network = shaken(build_unet(shape))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(network(inputs())))
    for gradient in tape.gradient(loss, network.trainable_variables):
        assert np.abs(np.asarray(gradient)).max() > 0


def test_output_depends_on_each_images_own_time() -> None:
    network = shaken(build_unet(SMALL))
    images, times = inputs()
    moved = network([images, times + tf.constant([0.0, 0.1, 0.0])]) - network([images, times])
    assert np.abs(moved).max(axis=(1, 2, 3)).tolist() == [0, np.abs(moved[1]).max(), 0]
    assert np.abs(moved[1]).max() > 0


# Relative to the largest output, after a dozen layers of 24, 11 and 8 bits.
@both_networks
@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [("float32", 1e-6), ("mixed_float16", 0.01), ("mixed_bfloat16", 0.1)],
)
def test_output_is_float32_and_weights_move_between_precisions(
    shape: NetworkConfig, precision: str, tolerance: float
) -> None:
    mixed, full = build_unet(shape, dtype=precision), shaken(build_unet(shape))
    mixed.set_weights(full.get_weights())
    output = mixed(inputs())
    assert output.dtype == tf.float32
    expected = full(inputs()).numpy()
    np.testing.assert_allclose(output, expected, atol=tolerance * np.abs(expected).max())


def test_pixel_norm_gives_unit_power_per_pixel() -> None:
    output = PixelNorm()(5 * tf.random.stateless_normal([2, 4, 4, 16], (1, 0)))
    np.testing.assert_allclose(np.mean(np.square(output), axis=-1), 1, atol=1e-4)


def test_pixel_norm_survives_large_float16() -> None:
    output = PixelNorm(dtype="float16")(tf.fill([1, 1, 1, 4], tf.constant(3000, tf.float16)))
    np.testing.assert_allclose(output, 1, atol=1e-3)


def test_attention_is_the_papers_equation() -> None:
    images = tf.random.stateless_normal([2, 2, 3, 24], (1, 0)).numpy()
    queries, keys, values = images.reshape(2, 6, 3, 2, 4).transpose(2, 0, 3, 1, 4)
    weights = np.exp(queries @ keys.swapaxes(-1, -2) / np.sqrt(4))
    expected = weights / weights.sum(axis=-1, keepdims=True) @ values
    np.testing.assert_allclose(
        SelfAttention(2)(images),
        expected.transpose(0, 2, 1, 3).reshape(2, 2, 3, 8),
        atol=1e-6,  # float32 sums of six numbers of about 1
    )


def test_only_the_lowest_level_has_attention() -> None:
    attentions: list[Any] = [
        x for x in build_unet(ATTENTIVE).layers if isinstance(x, SelfAttention)
    ]
    # One block on the way down, the middle one, and one on the way up.
    assert [x.output.shape for x in attentions] == 3 * [(None, 2, 2, 16)]


def test_depth_to_space_undoes_space_to_depth() -> None:
    images = tf.random.stateless_normal([2, 8, 8, 3], (1, 0))
    np.testing.assert_array_equal(DepthToSpace(4)(SpaceToDepth(4)(images)), images)


def test_upsampling_repeats_pixels_and_its_gradient_sums_them() -> None:
    images = tf.random.stateless_normal([1, 2, 2, 1], (1, 0))
    weights = tf.random.stateless_normal([1, 4, 4, 1], (2, 0))
    with tf.GradientTape() as tape:
        tape.watch(images)
        output = NearestUpsampling()(images)
        loss = tf.reduce_sum(output * weights)
    np.testing.assert_array_equal(output, np.repeat(np.repeat(images, 2, 1), 2, 2))
    expected = weights.numpy().reshape(1, 2, 2, 2, 2, 1).sum(axis=(2, 4))
    np.testing.assert_allclose(np.asarray(tape.gradient(loss, images)), expected, rtol=1e-5)


def test_time_embedding_starts_with_half_a_turn() -> None:
    embedding = TimeEmbedding(8)(tf.constant([0.0, 0.5, 1.0])).numpy()[:, 0, 0]
    np.testing.assert_allclose(embedding[:, 0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(embedding[:, 4], [1, 0, -1], atol=1e-6)
