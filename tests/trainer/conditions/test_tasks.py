"""The conditions of a batch, and the random numbers that they need."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from pictures import synthetic_flowers
from PIL import Image

from diffkiln.trainer.conditions.tasks import (
    conditioned,
    conditions,
    held_out_draws,
    training_draws,
)
from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.schedules import CosineSchedule
from diffkiln.trainer.presets import preset_config

TASKS: list[dict[str, Any]] = [
    {"task": "super_resolution", "factor": 4},
    {"task": "inpainting"},
]
DENOISER = Denoiser(lambda inputs: inputs[0], CosineSchedule(), "image", (0.4,) * 3, (0.2,) * 3)
STEP = tf.constant(7, tf.int64)


def config(**settings: Any) -> TrainConfig:
    return preset_config("tiny", image_size=16, widths=(8,), batch_size=8, **settings)


@pytest.fixture(scope="module")
def images() -> tf.Tensor:
    return tf.constant(synthetic_flowers(8, image_size=16))


@pytest.mark.parametrize("settings", TASKS, ids=str)
def test_conditions_are_as_the_settings_list_them(
    settings: dict[str, Any], images: tf.Tensor
) -> None:
    of_task = config(**settings)
    given = conditions(of_task, DENOISER, images, training_draws(of_task, STEP))
    assert [tuple(each.shape) for each in given] == [(8, *x.shape) for x in of_task.conditions]
    assert all(each.dtype == x.dtype for each, x in zip(given, of_task.conditions, strict=True))


def test_a_network_that_generates_is_given_nothing(images: tf.Tensor) -> None:
    plain = config()
    assert not plain.conditions
    assert not training_draws(plain, STEP)
    assert not held_out_draws(plain, tf.constant(8), STEP)
    assert not conditions(plain, DENOISER, images, [])


@pytest.mark.parametrize("settings", TASKS, ids=str)
def test_draws_follow_from_seed_and_step(settings: dict[str, Any]) -> None:
    first = training_draws(config(**settings), STEP)
    again = training_draws(config(**settings, accumulation_steps=4), STEP)
    later = training_draws(config(**settings), STEP + 1)
    other = training_draws(config(**settings, seed=1), STEP)
    for one, same, next_, another in zip(first, again, later, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert np.any(one != next_)
        assert np.any(one != another)


def test_half_of_the_levels_are_below_a_quarter() -> None:
    levels, _ = training_draws(preset_config("tiny", batch_size=4096, **TASKS[0]), STEP)
    assert float(tf.reduce_min(levels)) >= 0
    assert float(tf.reduce_max(levels)) < 1
    # 4,096 levels: a standard deviation of 0.008.
    assert np.mean(levels < 0.25) == pytest.approx(0.5, abs=0.03)


def test_held_out_pictures_get_what_a_host_would_give(images: tf.Tensor) -> None:
    enlarging = config(**TASKS[0])
    draws = held_out_draws(enlarging, tf.constant(8), STEP)
    small, level = conditions(enlarging, DENOISER, images, draws)
    hosts = np.stack([np.asarray(Image.fromarray(each).reduce(4)) for each in images.numpy()])
    np.testing.assert_allclose(small * 0.2 + 0.4, hosts / 255, atol=1e-6)  # float32
    np.testing.assert_array_equal(level, np.zeros(8))


def test_painted_pixels_are_hidden_and_others_kept(images: tf.Tensor) -> None:
    painting = config(**TASKS[1])
    masked, mask = conditions(painting, DENOISER, images, training_draws(painting, STEP))
    image = DENOISER.normalise(tf.cast(images, tf.float32) / 255)
    np.testing.assert_array_equal(masked, np.where(mask > 0, 0, image))


def test_a_conditioned_denoiser_passes_the_conditions_on() -> None:
    seen: list[int] = []

    def network(inputs: Any) -> tf.Tensor:
        seen.append(len(inputs))
        return inputs[0] + inputs[2]

    denoiser = Denoiser(network, CosineSchedule(), "image", (0.0,) * 3, (1.0,) * 3, clip=False)
    picture = tf.ones([1, 2, 2, 3])
    image, _ = conditioned(denoiser, [picture])(picture, tf.constant([0.5]))
    assert seen == [3]
    np.testing.assert_array_equal(image, 2 * picture)
