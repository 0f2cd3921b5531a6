"""The networks of tasks: what they take, and how it reaches their output."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.network.unet import build_unet

PLAIN = NetworkConfig(image_size=8, widths=(8, 16), blocks=1, patch_size=2)
ENLARGING = NetworkConfig(8, (8, 16), 1, 2, task="super_resolution", factor=2)
PAINTING = NetworkConfig(8, (8, 16), 1, 2, task="inpainting", num_classes=3)
RESIDUAL = replace(ENLARGING, residual=True)
both_tasks = pytest.mark.parametrize("shape", [RESIDUAL, PAINTING], ids=["enlarge", "paint"])


def shaken(network: keras.Model) -> keras.Model:
    """The network with every weight moved, so that none of its zeros hides a path."""
    for index, variable in enumerate(network.trainable_variables):
        noise = tf.random.stateless_normal(variable.shape, (index, 0))
        variable.assign(variable + 0.1 * noise)
    return network


def inputs(network: keras.Model) -> list[tf.Tensor]:
    """Random inputs for two pictures, with labels of class 1."""
    given = {
        each.name: tf.random.stateless_uniform([2, *each.shape[1:]], (number, 0))
        for number, each in enumerate(network.inputs)
    }
    changes = {"labels": tf.ones([2], tf.int64)} if "labels" in given else {}
    changes |= {"paint_mask": tf.round(given["paint_mask"])} if "paint_mask" in given else {}
    return list((given | changes).values())


def test_inputs_are_those_of_the_contract() -> None:
    named = {each.name: tuple(each.shape) for each in build_unet(ENLARGING).inputs}
    assert list(named.items()) == [
        ("noisy", (None, 8, 8, 3)),
        ("time", (None,)),
        ("low_resolution", (None, 4, 4, 3)),
        ("augmentation", (None,)),
    ]
    named = {each.name: tuple(each.shape) for each in build_unet(PAINTING).inputs}
    assert list(named.items())[2:] == [
        ("labels", (None,)),
        ("masked_image", (None, 8, 8, 3)),
        ("paint_mask", (None, 8, 8, 1)),
    ]


@both_tasks
def test_every_condition_reaches_the_output_of_its_own_picture(shape: NetworkConfig) -> None:
    network = shaken(build_unet(shape))
    given = inputs(network)
    before = network(given).numpy()
    for place in range(len(given) - len(shape.conditions), len(given)):
        condition = given[place].numpy()
        condition[0] = 1 - condition[0]
        after = network([*given[:place], tf.constant(condition), *given[place + 1 :]]).numpy()
        assert np.abs(after[0] - before[0]).max() > 0
        np.testing.assert_array_equal(after[1], before[1])


@both_tasks
def test_every_weight_gets_a_gradient(shape: NetworkConfig) -> None:
    network = shaken(build_unet(shape))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(network(inputs(network))))
    for gradient in tape.gradient(loss, network.trainable_variables):
        assert np.abs(np.asarray(tf.convert_to_tensor(gradient))).max() > 0


def test_small_pictures_are_enlarged_between_the_centres_of_their_pixels() -> None:
    network = build_unet(ENLARGING)
    (layer,) = [each for each in network.layers if isinstance(each, keras.layers.UpSampling2D)]
    ramp = tf.reshape(tf.range(4.0), (1, 1, 4, 1))
    expected = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    np.testing.assert_allclose(layer(ramp)[0, 0, :, 0], expected, atol=1e-6)


def test_a_residual_network_begins_with_the_enlarged_picture() -> None:
    network = build_unet(RESIDUAL)
    noisy, time, small, _ = inputs(network)
    enlarged = tf.image.resize(small, (8, 8))
    output = network([noisy, time, small, tf.constant([0.0, 0.6])])
    np.testing.assert_allclose(output[0], enlarged[0], atol=1e-6)  # float32
    # √(1 − 0.6²), which is what such a picture says of the one without noise.
    np.testing.assert_allclose(output[1], 0.8 * enlarged[1], atol=1e-6)


def test_other_layers_keep_their_names() -> None:
    names = {weight.path for weight in build_unet(ENLARGING).weights}
    assert {weight.path for weight in build_unet(PLAIN).weights} <= names


# Relative to the largest output, after a dozen layers of 11 and 8 bits.
@both_tasks
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.1)]
)
def test_half_precision_agrees(shape: NetworkConfig, precision: str, tolerance: float) -> None:
    mixed, full = build_unet(shape, dtype=precision), shaken(build_unet(shape))
    mixed.set_weights(full.get_weights())
    given = inputs(full)
    expected = full(given).numpy()
    np.testing.assert_allclose(mixed(given), expected, atol=tolerance * np.abs(expected).max())
