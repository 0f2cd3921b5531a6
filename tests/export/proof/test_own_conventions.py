"""What is baked, and the reference, against samplers in the conventions of other papers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.export.proof.reference import ReferenceSampler
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import EDMSchedule, FlowSchedule, Schedule

# Pixels hold a thousand times [-1, 1], so that nothing leaves their range.
PIXELS = (0.5,), (0.0005,)
NOISE = np.random.default_rng(0).normal(size=(2, 3, 4, 1)).astype(np.float32)


def network(x: Any, condition: Any, library: Any = np) -> Any:
    """Something curved in x that changes with the condition."""
    return library.sin(2.0 * x) + 0.3 * library.cos(condition[:, None, None, None])


def baked(
    schedule: Schedule, prediction: str, conditioning: str, steps: int, **settings: Any
) -> np.ndarray:
    """The last x̂_0 of what is baked, in normalised units."""

    def call(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        return network(*inputs, library=tf)

    what = {"clip": False, "conditioning": conditioning}
    sampling = Sampling(Denoiser(call, schedule, prediction, *PIXELS, **what), **settings)
    step, total = tf.function(sampling.step), tf.constant(steps, tf.int64)
    state, image = sampling.start(tf.constant(NOISE)), tf.constant(NOISE)
    for k in range(steps):
        state, image = step(tf.constant(k, tf.int64), total, state)
    return image.numpy()


def referred(
    schedule: Schedule, prediction: str, conditioning: str, steps: int, **settings: Any
) -> np.ndarray:
    """What the float64 reference draws in as many steps."""
    what = {"clip": False, "conditioning": conditioning, **settings}
    sampler = ReferenceSampler(network, schedule.describe(), prediction, *PIXELS, **what)
    return (sampler.from_noise(NOISE, steps) - 0.5) / 0.0005


BOTH: Any = pytest.mark.parametrize(
    # float32, whose differences the network magnifies a little in each step.
    ("sample", "apart"),
    [(baked, 2e-5), (referred, 2e-6)],
    ids=["baked", "reference"],
)


@BOTH
@pytest.mark.parametrize(("conditioning", "unit"), [("time", 1), ("timestep", 1000)])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_ddim_of_a_flow_is_eulers_method(
    sample: Callable[..., np.ndarray], apart: float, steps: int, conditioning: str, unit: int
) -> None:
    """dx/dt = v from t = 1 to 0 in equal steps (rectified flow, arXiv 2209.03003)."""
    x = NOISE.astype(np.float64)
    for k in range(steps):
        t = 1 - k / steps
        x = x - network(x, np.full(len(x), unit * t)) / steps
    drawn = sample(FlowSchedule(), "velocity", conditioning, steps)
    # cos(1000·t) has 1000 times the error of t.
    np.testing.assert_allclose(drawn, x, atol=apart * max(1, unit / 10))


def edm_denoiser(x: np.ndarray, sigma: float, prediction: str, data: float) -> np.ndarray:
    """D(x; σ) of the network as F, or of one that is D itself (arXiv 2206.00364, equation 7)."""
    level = np.full(len(x), sigma)
    if prediction == "image":
        return network(x, level)
    total = sigma**2 + data**2
    output = network(x / np.sqrt(total), np.log(level) / 4)
    return data**2 / total * x + sigma * data / np.sqrt(total) * output


def edm_sampled(solver: str, prediction: str, steps: int, schedule: EDMSchedule) -> np.ndarray:
    """EDM's algorithm 1 without its second evaluation, or DPM-Solver++(2M) in λ = −ln σ."""
    low, high, i = schedule.sigma_min, schedule.sigma_max, np.arange(steps)
    sigmas = (high ** (1 / 7) + i / (steps - 1) * (low ** (1 / 7) - high ** (1 / 7))) ** 7
    x, previous = NOISE * np.sqrt(1 + high**2), None
    for k, (t, s) in enumerate(zip(sigmas, [*sigmas[1:], 0.0], strict=True)):
        image = edm_denoiser(x, t, prediction, schedule.sigma_data)
        direction = image
        if solver == "dpmpp_2m" and previous is not None and s > 0:
            ratio = np.log(t / s) / np.log(sigmas[k - 1] / t)
            direction = image + ratio / 2 * (image - previous)
        # dx/dσ = (x − D)/σ, with D as it is or extrapolated.
        x, previous = s / t * x + (1 - s / t) * direction, image
    return x


@BOTH
@pytest.mark.parametrize(("prediction", "conditioning"), [("edm", "c_noise"), ("image", "sigma")])
@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m"])
def test_linspace_is_the_grid_of_edm(
    sample: Callable[..., np.ndarray],
    apart: float,
    prediction: str,
    conditioning: str,
    solver: str,
) -> None:
    schedule, settings = EDMSchedule(sigma_data=0.7), {"solver": solver, "time_grid": "linspace"}
    drawn = sample(schedule, prediction, conditioning, 12, **settings)
    # x is a hundred where the network's sine is taken of it, in float32.
    expected = edm_sampled(solver, prediction, 12, schedule)
    np.testing.assert_allclose(drawn, expected, atol=apart * (1 if prediction == "edm" else 20))
