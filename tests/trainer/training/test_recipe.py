"""What each part of the recipe computes, against its paper."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from diffkiln.trainer.config import LEARNING_RATE_DECAYS, LOSS_WEIGHTINGS, PREDICTIONS
from diffkiln.trainer.maths.diffusion import add_noise, split_prediction, training_target
from diffkiln.trainer.maths.schedules import Rates
from diffkiln.trainer.training.recipe import (
    LearningRate,
    ema_decay,
    loss_weight,
    stratified,
    update_ema,
)

ANGLES = np.linspace(0.05, math.pi / 2 - 0.05, 9).astype(np.float32)
RATES = Rates(tf.cos(ANGLES), tf.sin(ANGLES))
SNR = (RATES.signal / RATES.noise) ** 2


def weight(weighting: str, prediction: str) -> np.ndarray:
    return loss_weight(weighting, prediction, RATES).numpy()


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_uniform_counts_every_error_once(prediction: str) -> None:
    np.testing.assert_array_equal(weight("uniform", prediction), np.ones(9))


def test_min_snr_is_the_papers() -> None:
    """min(SNR, 5) for x_0, min(SNR, 5)/SNR for ε, min(SNR, 5)/(SNR + 1) for v."""
    clipped = np.minimum(SNR, 5)
    # Rounding of float32.
    np.testing.assert_allclose(weight("min_snr", "image"), clipped, rtol=1e-5)
    np.testing.assert_allclose(weight("min_snr", "noise"), clipped / SNR, rtol=1e-5)
    np.testing.assert_allclose(weight("min_snr", "velocity"), clipped / (SNR + 1), rtol=1e-5)


@pytest.mark.parametrize("weighting", ["velocity", "min_snr"])
def test_a_weighting_makes_all_predictions_one_loss(weighting: str) -> None:
    """Networks that see the same x̂_0 have the same error, whatever they put out."""
    image, noise, error = (tf.random.stateless_normal((9,), (0, i)) for i in range(3))
    noisy = add_noise(image, noise, RATES)
    seen = image + 0.1 * error
    seen_noise = (noisy - RATES.signal * seen) / RATES.noise
    losses = []
    for prediction in PREDICTIONS:
        output = training_target(prediction, seen, seen_noise, RATES)
        np.testing.assert_allclose(
            split_prediction(prediction, output, noisy, RATES)[0], seen, 1e-3
        )
        target = training_target(prediction, image, noise, RATES)
        losses.append(weight(weighting, prediction) * np.square(output - target))
    # Differences of numbers of size 1 in float32, squared.
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    np.testing.assert_allclose(losses[2], losses[0], rtol=1e-3)


@pytest.mark.parametrize("weighting", LOSS_WEIGHTINGS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_weights_are_finite_at_the_ends_of_a_schedule(weighting: str, prediction: str) -> None:
    ends = Rates(tf.constant([0.0, 1.0]), tf.constant([1.0, 0.0]))
    assert np.isfinite(loss_weight(weighting, prediction, ends)).all()


@given(st.integers(1, 70), st.floats(0, 1, exclude_max=True, width=32))
def test_stratified_times_fall_one_into_each_part(count: int, first: float) -> None:
    times = stratified(tf.fill([count], tf.constant(first, tf.float32))).numpy()
    assert ((times >= 0) & (times < 1)).all()
    # Shifted by the first, they are 0, 1/N … (N − 1)/N, to the rounding of float32.
    shifted = np.sort((times - np.float32(first) + 1e-4) % 1.0)
    np.testing.assert_allclose(shifted, np.arange(count) / count + 1e-4, atol=1e-5)


def test_each_stratified_time_is_uniform_by_itself() -> None:
    first = tf.random.stateless_uniform((4000,), (0, 0))
    third = tf.vectorized_map(lambda u: stratified(tf.fill([4], u))[2], first).numpy()
    # Five standard errors of the mean and of the variance of uniform numbers.
    assert abs(third.mean() - 1 / 2) < 5 * (1 / 12 / 4000) ** 0.5
    assert abs(third.var() - 1 / 12) < 5 * (1 / 180 / 4000) ** 0.5


def rate(decay: str, step: int) -> float:
    schedule = LearningRate(2.0, warm_up_steps=10, decay=decay, total_steps=110)
    return float(schedule(tf.constant(step, tf.int64)))


@pytest.mark.parametrize("decay", LEARNING_RATE_DECAYS)
def test_the_warm_up_rises_in_equal_steps(decay: str) -> None:
    assert [rate(decay, step) for step in (0, 4, 9)] == pytest.approx([0.2, 1.0, 2.0])


@pytest.mark.parametrize(
    ("decay", "halfway", "end"),
    [
        ("constant", 2.0, 2.0),
        ("inverse_sqrt", 2.0 * (10 / 60) ** 0.5, 2.0 * (10 / 110) ** 0.5),
        ("cosine", 1.0, 0.0),
    ],
)
def test_rates_decay_by_their_formulas(decay: str, halfway: float, end: float) -> None:
    # The cosine in float32 leaves some 1e-7 of the peak.
    assert [rate(decay, 59), rate(decay, 109)] == pytest.approx([halfway, end], abs=1e-6)


def test_no_warm_up_begins_at_the_peak() -> None:
    schedule = LearningRate(2.0, warm_up_steps=0, decay="constant", total_steps=5)
    assert float(schedule(tf.constant(0, tf.int64))) == 2.0


def test_a_learning_rate_survives_keras() -> None:
    schedule = LearningRate(2.0, warm_up_steps=10, decay="cosine", total_steps=110)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert float(copy(tf.constant(59, tf.int64))) == rate("cosine", 59)


def decay(images_seen: int, batch_size: int = 10, half_life_images: int = 1000) -> float:
    seen = tf.constant(images_seen, tf.int64)
    return float(ema_decay(seen, batch_size=batch_size, half_life_images=half_life_images))


def test_half_a_weight_is_left_after_the_half_life() -> None:
    assert decay(10**9) ** 100 == pytest.approx(0.5, abs=1e-4)


def test_decay_does_not_depend_on_the_batch() -> None:
    assert decay(10**9, batch_size=40) == pytest.approx(decay(10**9, batch_size=10) ** 4, abs=1e-6)


def test_young_averages_look_back_a_twentieth_of_what_was_seen() -> None:
    assert decay(2000) == pytest.approx(0.5 ** (10 / 100), abs=1e-6)


def test_update_moves_by_one_minus_decay() -> None:
    average, weight = tf.Variable(tf.constant([1.0, 2.0])), tf.Variable(tf.constant([2.0, 0.0]))
    update_ema([average], [weight], tf.constant(0.75))
    assert average.numpy().tolist() == [1.25, 1.5]
