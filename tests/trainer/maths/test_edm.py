"""EDM's noise levels and preconditioning (arXiv 2206.00364)."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.schedules import CosineSchedule, EDMSchedule, Schedule

SCHEDULE = EDMSchedule(sigma_data=0.6)


def normal(seed: int) -> tf.Tensor:
    return tf.random.stateless_normal([3, 4, 4, 1], (seed, 0))


def denoiser(network: Any, schedule: Schedule = SCHEDULE, **settings: Any) -> Denoiser:
    settings = {"prediction": "edm", "conditioning": "c_noise", "clip": False, **settings}
    return Denoiser(network, schedule, pixel_mean=(0.5,), pixel_std=(0.5,), **settings)


def sigmas(times: list[float]) -> np.ndarray:
    signal, noise = SCHEDULE.rates(tf.constant(times, tf.float32))
    np.testing.assert_allclose(signal**2 + noise**2, 1, atol=5e-7)
    return (noise / signal).numpy()


def test_the_seventh_root_of_sigma_is_linear_in_time() -> None:
    # Seventh powers in float32.
    np.testing.assert_allclose(sigmas([0, 1]), [0.002, 80], rtol=2e-6)
    np.testing.assert_allclose(np.diff(sigmas([0, 0.25, 0.5, 0.75, 1]) ** (1 / 7), 2), 0, atol=1e-6)
    assert SCHEDULE.time_of(80) == 1
    assert sigmas([SCHEDULE.time_of(0.3)])[0] == pytest.approx(0.3, rel=2e-6)


def test_the_network_sees_and_is_told_what_it_was_trained_with() -> None:
    """Images of variance σ_d² with noise of variance σ² are scaled to variance 1."""
    seen: list[Any] = []
    image, time = 0.6 * tf.random.stateless_normal([1, 64, 64, 1], (0, 0)), tf.constant([0.4])
    signal, noise = SCHEDULE.rates(time)
    noisy = signal * image + noise * tf.random.stateless_normal([1, 64, 64, 1], (1, 0))
    denoiser(lambda inputs: seen.extend(inputs) or inputs[0])(noisy, time)
    # 4,096 numbers.
    assert np.std(seen[0]) == pytest.approx(1, abs=0.05)
    assert seen[1].numpy() == pytest.approx(np.log(sigmas([0.4])) / 4, rel=1e-5)


def test_a_perfect_output_gives_the_image() -> None:
    """F = (x_0 − c_skip·x)/c_out (equation 8)."""
    image, noise, times = normal(1), normal(2), [0.0, 0.5, 1.0]
    sigma = sigmas(times)[:, None, None, None].astype(np.float64)
    x, total = image + sigma * noise, sigma**2 + 0.6**2
    output = (image - 0.6**2 / total * x) / (sigma * 0.6 / np.sqrt(total))
    found, epsilon = denoiser(lambda _: tf.cast(output, tf.float32))(
        tf.cast(x / np.sqrt(1 + sigma**2), tf.float32), tf.constant(times)
    )
    np.testing.assert_allclose(found, image, atol=1e-5)
    # (x_t − signal·x_0)/noise, where the noise rate is 0.002.
    np.testing.assert_allclose(epsilon, noise, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prediction": "noise"}, "prediction=noise: under the schedule edm, expected edm"),
        ({"conditioning": "time"}, "conditioning=time: no network is told the time of"),
        ({"conditioning": "timestep"}, "conditioning=timestep: the edm schedule's time is"),
        ({"schedule": CosineSchedule()}, "prediction=edm: belongs to the schedule edm"),
    ],
)
def test_what_does_not_go_with_edm_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"^{words}"):
        denoiser(tf.identity, **settings)


@pytest.mark.parametrize("numbers", [(0.0, 80.0), (1.0, 0.5), (0.002, 1e5), (0.002, 80.0, 0.0)])
def test_sigmas_that_float32_cannot_hold_are_refused(numbers: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=f"^sigma_min={numbers[0]}, .*expected 0.0001 <= sigma_"):
        EDMSchedule(*numbers)
