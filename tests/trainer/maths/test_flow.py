"""Straight flows: linear paths from the image to the noise."""

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
    training_target,
)
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import FlowSchedule, Rates
from diffkiln.trainer.maths.solvers import Estimate, Stage, ddim

PIXELS = (0.5,), (0.25,)


def normal(seed: int) -> tf.Tensor:
    return tf.random.stateless_normal([4, 4, 4, 1], (seed, 0))


def run(network: Any, noise: tf.Tensor, steps: int, prediction: str, **settings: Any) -> tf.Tensor:
    """The last x̂_0."""
    denoiser = Denoiser(network, FlowSchedule(), prediction, *PIXELS, clip=False)
    sampler = Sampling(denoiser, **settings)
    state, image, total = sampler.start(noise), noise, tf.constant(steps, tf.int64)
    for k in range(steps):
        state, image = sampler.step(tf.constant(k, tf.int64), total, state)
    return image


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_prediction_splits_into_image_and_noise(prediction: str) -> None:
    image, noise, rates = normal(1), normal(2), FlowSchedule().rates(tf.constant(0.3))
    noisy = add_noise(image, noise, rates)
    target = training_target(prediction, image, noise, rates, straight=True)
    if prediction == "velocity":
        np.testing.assert_array_equal(target, noise - image)
    split = split_prediction(prediction, target, noisy, rates, straight=True)
    np.testing.assert_allclose(split, (image, noise), atol=2e-6)


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m"])
def test_a_constant_velocity_is_followed_in_one_step_or_many(solver: str) -> None:
    velocity, noise = normal(1), normal(2)
    for steps in (1, 7):
        image = run(lambda _: velocity, noise, steps, "velocity", solver=solver)
        np.testing.assert_allclose(image, noise - velocity, atol=1e-5)


def test_dpmpp_2m_comes_nearer_than_ddim_in_fewer_steps() -> None:
    """DDIM's error halves with the steps' size; the steps of 2M at both ends are of first order."""

    def error(solver: str, steps: int) -> float:
        image = run(lambda x: tf.sin(x[0]), normal(3), steps, "velocity", solver=solver)
        return float(tf.reduce_max(tf.abs(image - exact)))

    exact = run(lambda x: tf.sin(x[0]), normal(3), 800, "velocity", solver="dpmpp_2m")
    assert 1.8 < error("ddim", 20) / error("ddim", 40) < 2.2
    assert error("dpmpp_2m", 20) / error("dpmpp_2m", 40) > 2.4
    assert error("dpmpp_2m", 20) < 0.2 * error("ddim", 40)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_fresh_noise_is_that_of_the_ancestral_step(eta: float) -> None:
    """In units of σ = noise/signal, σ_up² = σ_s²·(σ_t² − σ_s²)/σ_t², and the total stays σ_s²."""
    t, s = (FlowSchedule().rates(tf.constant(time)) for time in (0.7, 0.4))
    at = Stage(t, t, s, tf.constant(False), tf.constant(False))
    nothing, one = tf.zeros([1]), tf.ones([1])
    settings: Any = {"eta": eta, "variance_preserving": False}
    fresh, _ = ddim.update(at, Estimate(nothing, nothing, nothing), {}, fresh_noise=one, **settings)
    direct, _ = ddim.update(
        at, Estimate(nothing, nothing, one), {}, fresh_noise=nothing, **settings
    )
    before, after = 0.7 / 0.3, 0.4 / 0.6
    up = after * np.sqrt(before**2 - after**2) / before
    np.testing.assert_allclose(fresh / s.signal, eta * up, rtol=1e-5)
    np.testing.assert_allclose(fresh**2 + direct**2, s.noise**2, rtol=1e-5)


def test_the_same_step_in_rates_whose_squares_sum_to_one() -> None:
    t, s = (Rates(tf.cos(angle), tf.sin(angle)) for angle in (tf.constant(1.2), tf.constant(0.7)))
    at = Stage(t, t, s, tf.constant(False), tf.constant(False))
    estimate = Estimate(normal(0), normal(1), normal(2))
    one, other = [
        ddim.update(
            at, estimate, {}, eta=0.8, fresh_noise=normal(3), variance_preserving=preserving
        )[0]
        for preserving in (True, False)
    ]
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prediction": "noise"}, "prediction=noise: the schedule leaves no signal at t = 1"),
        ({"conditioning": "log_snr"}, "conditioning=log_snr: is infinite at t = 1"),
        ({"conditioning": "timestep", "first_timestep": 0}, "first_timestep=0: the schedule's"),
        ({"time_grid": "karras"}, "time_grid=karras: noise/signal is infinite at t = 1"),
        (
            {"time_grid": "linspace", "solver": "dpmpp_2m"},
            "time_grid=linspace: the schedule leaves no noise at t = 0",
        ),
    ],
)
def test_what_is_infinite_is_refused(settings: dict[str, Any], words: str) -> None:
    network: Any = tf.identity
    of_sampling = {key: settings.pop(key) for key in ("time_grid", "solver") if key in settings}
    settings = {"pixel_mean": (0.5,), "pixel_std": (0.5,), "prediction": "velocity", **settings}

    def sampling() -> Sampling:
        return Sampling(Denoiser(network, FlowSchedule(), **settings), **of_sampling)

    with pytest.raises(InputError, match=f"^{words}"):
        sampling()
