"""The diffusion equations undo each other."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.trainer.config import PREDICTIONS
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.diffusion import (
    Denoiser,
    add_noise,
    split_prediction,
    to_uint8,
    training_target,
)
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import CosineSchedule, Rates, ddpm_linear

RATES = Rates(tf.constant(0.6), tf.constant(0.8))
PIXELS = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def normal(seed: int) -> tf.Tensor:
    return tf.random.stateless_normal([4, 8, 8, 3], (seed, 0))


def oracle(image: tf.Tensor, prediction: str) -> Any:
    """A network that knows the image and predicts without error under the cosine schedule."""

    def network(inputs: Any) -> tf.Tensor:
        noisy, time = inputs
        rates = CosineSchedule().rates(time[:, None, None, None])
        noise = (noisy - rates.signal * image) / rates.noise
        return training_target(prediction, image, noise, rates)

    return network


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_prediction_splits_into_image_and_noise(prediction: str) -> None:
    image, noise = normal(1), normal(2)
    noisy = add_noise(image, noise, RATES)
    target = training_target(prediction, image, noise, RATES)
    split = split_prediction(prediction, target, noisy, RATES)
    # Rates of 0.6 and 0.8 magnify float32 rounding by less than 2.
    np.testing.assert_allclose(split, (image, noise), atol=2e-6)


def test_targets_are_the_papers() -> None:
    """x_0 = 1, ε = 2 at signal 0.6 and noise 0.8."""
    image, noise = tf.constant(1.0), tf.constant(2.0)
    targets = [float(training_target(p, image, noise, RATES)) for p in PREDICTIONS]
    assert PREDICTIONS == ("noise", "velocity", "image")
    assert targets == pytest.approx([2, 0.6 * 2 - 0.8 * 1, 1])
    assert float(add_noise(image, noise, RATES)) == pytest.approx(0.6 * 1 + 0.8 * 2)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("steps", [1, 7])
def test_ddim_with_an_oracle_restores_the_image(prediction: str, steps: int) -> None:
    image = tf.clip_by_value(normal(1), -2.0, 2.0)
    denoiser = Denoiser(oracle(image, prediction), CosineSchedule(), prediction, *PIXELS)
    state, restored, total = {"noisy": normal(2)}, normal(2), tf.constant(steps, tf.int64)
    for k in range(steps):
        state, restored = Sampling(denoiser).step(tf.constant(k, tf.int64), total, state)
    # A signal rate of 0.02 magnifies the first step's rounding fifty times.
    np.testing.assert_allclose(restored, image, atol=1e-4)
    # The loop of `sample` takes the same steps; eager and compiled sums differ by one level.
    images = to_uint8(denoiser.pixels(restored)).numpy().astype(int)
    looped = Sampling(denoiser).sample(normal(2), steps).numpy().astype(int)
    assert np.abs(looped - images).max() <= 1


def test_clipping_keeps_pixels_in_range_and_the_equation_true() -> None:
    denoiser = Denoiser(lambda inputs: 9 * inputs[0], CosineSchedule(), "image", *PIXELS)
    noisy, time = normal(1), tf.fill([4], 0.5)
    image, noise = denoiser(noisy, time)
    rates = CosineSchedule().rates(tf.constant(0.5))
    assert float(tf.reduce_max(tf.abs(image))) == 2
    np.testing.assert_allclose(add_noise(image, noise, rates), noisy, atol=1e-5)


def test_without_clipping_the_prediction_is_unchanged() -> None:
    denoiser = Denoiser(
        lambda inputs: 9 * inputs[0], CosineSchedule(), "image", *PIXELS, clip=False
    )
    image, _ = denoiser(normal(1), tf.fill([4], 0.5))
    np.testing.assert_array_equal(image, 9 * normal(1))


def test_at_noise_rate_zero_the_noise_estimate_is_zero() -> None:
    denoiser = Denoiser(lambda inputs: 0.5 * inputs[0], ddpm_linear(), "image", *PIXELS)
    _, noise = denoiser(normal(1), tf.zeros([4]))
    np.testing.assert_array_equal(noise, tf.zeros([4, 8, 8, 3]))


def test_pixels_undo_normalise() -> None:
    denoiser = Denoiser(tf.identity, CosineSchedule(), "noise", (0.4, 0.5, 0.3), (0.2, 0.1, 0.3))
    pixels = tf.random.stateless_uniform([2, 4, 4, 3], (1, 0))
    np.testing.assert_allclose(denoiser.pixels(denoiser.normalise(pixels)), pixels, atol=1e-6)


def test_uint8_is_rounded() -> None:
    assert to_uint8(tf.constant([0.0, 0.4 / 255, 0.6 / 255, 1.0])).numpy().tolist() == [
        0,
        0,
        1,
        255,
    ]


def test_unknown_names_are_refused() -> None:
    message = "^prediction=score: expected one of noise, velocity, image"
    with pytest.raises(InputError, match=message):
        training_target("score", normal(1), normal(2), RATES)
    with pytest.raises(InputError, match=message):
        split_prediction("score", normal(1), normal(2), RATES)
    with pytest.raises(InputError, match=message):
        Denoiser(tf.identity, CosineSchedule(), "score", *PIXELS)
    with pytest.raises(InputError, match=r"^conditioning=beta: expected one of time, timestep"):
        Denoiser(tf.identity, CosineSchedule(), "noise", *PIXELS, conditioning="beta")
