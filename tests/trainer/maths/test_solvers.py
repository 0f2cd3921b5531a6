"""Solvers and time grids against the papers' closed forms."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.trainer.config import SOLVERS, TIME_GRIDS
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import (
    CosineSchedule,
    Schedule,
    ddpm_cosine,
    ddpm_linear,
    rescale_zero_terminal_snr,
)
from diffkiln.trainer.maths.solvers import Estimate, Stage, solver_named

SHAPE = (3, 4, 4, 1)


def normal(seed: int) -> tf.Tensor:
    return tf.random.stateless_normal(SHAPE, (seed, 0))


def sampling(
    network: Callable,
    schedule: Schedule,
    prediction: str = "image",
    *,
    learned_variance: bool = False,
    **settings,
):
    what: Any = {"clip": False, "learned_variance": learned_variance}
    denoiser = Denoiser(network, schedule, prediction, (0.5,), (0.25,), **what)
    return Sampling(denoiser, **settings)


def run(sampler: Sampling, noise: tf.Tensor, steps: int, fresh: Callable | None = None):
    """x after the last step, and the last x̂_0."""
    state, image, total = sampler.start(noise), noise, tf.constant(steps, tf.int64)
    for k in range(steps):
        drawn = fresh(k) if fresh else None
        state, image = sampler.step(tf.constant(k, tf.int64), total, state, fresh_noise=drawn)
    return state["noisy"], image


@pytest.mark.parametrize("time_grid", TIME_GRIDS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("schedule", [CosineSchedule(), ddpm_linear()])
def test_a_network_that_knows_the_image_leads_to_it(
    schedule: Schedule, solver: str, time_grid: str
) -> None:
    """x stays on the line signal·x_0 + noise·ε whatever the solver."""
    image, noise = normal(1), normal(2)
    sampler = sampling(lambda _: image, schedule, solver=solver, time_grid=time_grid)
    total = tf.constant(6, tf.int64)
    start = sampler.rates(tf.constant(0, tf.int64), total)
    last, _ = run(sampler, start.signal * image + start.noise * noise, 6)
    end = sampler.rates(total, total)
    np.testing.assert_allclose(last, end.signal * image + end.noise * noise, atol=1e-4)


def test_without_signal_the_second_step_of_dpmpp_2m_is_of_first_order_too() -> None:
    """h/(2·h_previous) is 0, for h_previous is infinite; so three steps are those of DDIM."""
    schedule = rescale_zero_terminal_snr(ddpm_linear())
    first, second = (
        run(sampling(lambda x: tf.sin(x[0]), schedule, solver=solver), normal(3), 3)
        for solver in SOLVERS
    )
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("schedule", [ddpm_linear(20), ddpm_cosine(20)])
def test_eta_one_in_all_steps_is_the_ddpm_papers_algorithm_2(schedule) -> None:
    """arXiv 2006.11239: x_{n-1} = (x_n − β/√(1−ᾱ)·ε)/√α + σz, with σ² = β̃ (section 3.2)."""

    def network(inputs: list[tf.Tensor]) -> tf.Tensor:
        return tf.tanh(inputs[0])

    sampler = sampling(network, schedule, "noise", solver="ddim", eta=1.0)
    last, _ = run(sampler, normal(0), 20, fresh=lambda k: normal(k + 1))
    x, alpha_bar = normal(0).numpy().astype(np.float64), schedule.alpha_bar
    for k, n in enumerate(range(20, 0, -1)):
        alpha = alpha_bar[n] / alpha_bar[n - 1]
        beta = 1 - alpha
        variance = (1 - alpha_bar[n - 1]) / (1 - alpha_bar[n]) * beta
        mean = (x - beta / np.sqrt(1 - alpha_bar[n]) * np.tanh(x)) / np.sqrt(alpha)
        x = mean + np.sqrt(variance) * normal(k + 1).numpy()
    # The cosine schedule's first step divides by a signal of 0.001, in float32.
    np.testing.assert_allclose(last, x, atol=2e-3 * np.abs(x).max())


@pytest.mark.parametrize("schedule", [CosineSchedule(), ddpm_linear()])
def test_a_learned_variance_lies_between_those_of_the_posterior_and_of_the_step(
    schedule: Schedule,
) -> None:
    """exp(v·ln β + (1 − v)·ln β̃), arXiv 2102.09672, equation 15; v may be outside of [0, 1]."""
    t, s = (schedule.rates(tf.constant(time)) for time in (0.6, 0.4))
    at = Stage(t, t, s, first=tf.constant(False), last=tf.constant(False))
    estimate, fresh = Estimate(normal(1), normal(2), normal(3)), normal(4)

    def step(fresh: tf.Tensor, v: Any) -> np.ndarray:
        settings = {"eta": 1.0, "fresh_noise": fresh, "variance_fraction": v}
        return solver_named("ddim").update(at, estimate, {}, **settings)[0].numpy()

    np.testing.assert_array_equal(step(fresh, tf.zeros(SHAPE)), step(fresh, None))
    v = np.linspace(-0.5, 1.5, normal(1).numpy().size, dtype=np.float32).reshape(SHAPE)
    alpha_bar_t, alpha_bar_s = (np.float64(rates.signal) ** 2 for rates in (t, s))
    beta = 1 - alpha_bar_t / alpha_bar_s
    posterior = (1 - alpha_bar_s) / (1 - alpha_bar_t) * beta
    expected = np.exp(0.5 * (v * np.log(beta) + (1 - v) * np.log(posterior))) * fresh
    # v does not change the mean. The tolerance is float32's error in sums of size 3.
    added = step(fresh, v) - step(tf.zeros(SHAPE), None)
    np.testing.assert_allclose(added, expected, atol=1e-6)


def test_a_learned_variance_adds_no_noise_where_none_is_left() -> None:
    """Not even of a v below 0, for which β̃^(1 − v) has no finite factor; and no NaN."""

    def network(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.concat([inputs[0], -9.0 * tf.ones(SHAPE)], axis=-1)

    sampler = sampling(network, ddpm_linear(), eta=1.0, learned_variance=True)
    last, image = run(sampler, normal(0), 4, fresh=lambda k: normal(k + 1))
    np.testing.assert_array_equal(last, image)
    with pytest.raises(InputError, match=r"variance=learned: .*; expected eta=1, not 0\.5"):
        sampling(network, ddpm_linear(), eta=0.5, learned_variance=True)


def test_dpmpp_2m_is_of_second_order() -> None:
    """Halving the steps' size leaves a quarter of the error; of DDIM's, a half."""

    def network(inputs: list[tf.Tensor]) -> tf.Tensor:
        return tf.sin(inputs[0])

    def error(solver: str, steps: int) -> float:
        sampler = sampling(network, CosineSchedule(), solver=solver)
        return float(tf.reduce_max(tf.abs(run(sampler, normal(3), steps)[0] - exact)))

    exact, _ = run(sampling(network, CosineSchedule(), solver="dpmpp_2m"), normal(3), 400)
    assert 1.6 < error("ddim", 40) / error("ddim", 80) < 2.4
    assert 3.2 < error("dpmpp_2m", 40) / error("dpmpp_2m", 80) < 4.8


@pytest.mark.parametrize(
    ("conditioning", "expected"),
    [
        ("time", 0.25),
        ("timestep", 250),
        ("noise_variance", 1 - ddpm_linear().alpha_bar[250]),
        ("noise_rate", (1 - ddpm_linear().alpha_bar[250]) ** 0.5),
        ("log_snr", np.log(1 / (1 / ddpm_linear().alpha_bar[250] - 1))),
    ],
)
def test_networks_receive_the_noise_level_as_their_conditioning(
    conditioning: str, expected: float
) -> None:
    conditions = []

    def network(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        conditions.append(np.asarray(inputs[1]))
        return inputs[0]

    denoiser = Denoiser(network, ddpm_linear(), "noise", (0.5,), (0.25,), conditioning=conditioning)
    denoiser(normal(1), tf.fill([3], 0.25))
    np.testing.assert_allclose(conditions[0], [expected] * 3, rtol=1e-5)


@pytest.mark.parametrize(("first", "expected"), [(1, [1000, 1, 0]), (0, [999, 0, 0])])
def test_timesteps_count_from_the_first(first: int, expected: list[float]) -> None:
    seen: list[float] = []

    def network(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        seen.extend(np.asarray(inputs[1]))
        return inputs[0]

    settings = {"conditioning": "timestep", "first_timestep": first}
    denoiser = Denoiser(network, ddpm_linear(), "noise", (0.5,), (0.25,), **settings)
    denoiser(normal(1), tf.constant([1.0, 0.001, 0.0]))
    assert seen == expected


def test_timesteps_need_a_discrete_schedule() -> None:
    with pytest.raises(InputError, match=r"conditioning=timestep: .*ddpm_linear"):
        Denoiser(
            lambda x: x[0], CosineSchedule(), "noise", (0.5,), (0.25,), conditioning="timestep"
        )


def test_a_solver_without_fresh_noise_refuses_eta() -> None:
    with pytest.raises(InputError, match=r"eta=0.5: dpmpp_2m draws no noise"):
        sampling(lambda x: x[0], CosineSchedule(), solver="dpmpp_2m", eta=0.5)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"^solver=euler: expected one of ddim, dpmpp_2m"):
        sampling(lambda x: x[0], CosineSchedule(), solver="euler")
    with pytest.raises(InputError, match=r"^time_grid=cubic: expected one of linear"):
        sampling(lambda x: x[0], CosineSchedule(), time_grid="cubic")
