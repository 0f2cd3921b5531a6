"""Learning a table by gradients: they are right, start where they should, and lead somewhere."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_models import conditioned_network, with_random_weights
from small_tables import random_table

from diffkiln.export.learning.learner import Examples, Learner
from diffkiln.export.learning.parameters import Parameters, falling_timesteps
from diffkiln.export.network.fitted import fitted
from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.guidance import Conditioning
from diffkiln.trainer.maths.plain_tables import least_time, plain_table, stretched
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import (
    CosineSchedule,
    EDMSchedule,
    FlowSchedule,
    Schedule,
    ddpm_cosine,
    ddpm_linear,
    rescale_zero_terminal_snr,
)
from diffkiln.trainer.maths.tables import Table, Tables
from diffkiln.trainer.network.unet import build_unet

WITHOUT_SIGNAL = rescale_zero_terminal_snr(ddpm_linear())
SCHEDULES = [CosineSchedule(), CosineSchedule(1.0, 0.02), ddpm_linear(), WITHOUT_SIGNAL]
SCHEDULES += [ddpm_cosine(), FlowSchedule(), EDMSchedule()]


def denoiser(schedule: Schedule, **settings: Any) -> Denoiser:
    pixels = (0.45, 0.4, 0.3), (0.3, 0.25, 0.28)
    prediction = "velocity"
    if isinstance(schedule, EDMSchedule):
        prediction, settings = "edm", {"conditioning": "c_noise", **settings}
    return Denoiser(fitted(conditioned_network()), schedule, prediction, *pixels, **settings)


def class_denoiser() -> Denoiser:
    network = with_random_weights(build_unet(NetworkConfig(8, (16,), 1, 2, num_classes=3)))
    pixels = (0.5,) * 3, (0.25,) * 3
    own = fitted(network, classes=3)
    return Denoiser(own, CosineSchedule(), "velocity", *pixels, num_classes=3)


def examples(count: int, size: tuple[int, int] = (4, 6), **given: Any) -> Examples:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(count, *size, 3)).astype(np.float32)
    pictures = rng.uniform(size=noise.shape).astype(np.float32)
    return Examples(noise, pictures, np.full(count, 1e-3, np.float32), **given)


def drawn(model: Denoiser, table: Table, batch: Examples) -> np.ndarray:
    """What the sampler of this table draws, pixels in [0, 1]."""
    steps, conditioning = len(table.times), None
    if batch.labels is not None and batch.guidance is not None:
        guidance = tf.constant(batch.guidance[0])
        conditioning = Conditioning(tf.constant(batch.labels), guidance)
    sampling = Sampling(model, tables=Tables({steps: table}, conditioning and (0.0, 100.0)))
    state = sampling.start(tf.constant(batch.noise))
    image = state["noisy"]
    for k in range(steps):
        index = tf.constant(k, tf.int64), tf.constant(steps, tf.int64)
        state, image = sampling.step(*index, state, conditioning=conditioning)
    return model.pixels(image).numpy()


@pytest.mark.parametrize("steps", [2, 4])
def test_the_error_is_the_samplers(steps: int) -> None:
    """Its own loop over the steps, with a guidance for each image, draws what a sampler draws."""
    given = {"labels": np.array([0, 1, 2]), "guidance": np.full(3, 2.5, np.float32)}
    batch, table, model = examples(3, (8, 8), **given), random_table(steps), class_denoiser()
    levels = 255 * (drawn(model, table, batch) - batch.pictures)
    error = Learner(model, table, 10).improve(batch)
    assert error == pytest.approx(float(np.mean(1e-3 * levels**2)), rel=1e-4)


@pytest.mark.parametrize("schedule", [CosineSchedule(), WITHOUT_SIGNAL, FlowSchedule()])
def test_gradients_are_those_of_finite_differences(schedule: Schedule) -> None:
    model, batch, table = denoiser(schedule), examples(2), random_table(4)
    learner = Learner(model, table, 10)
    gradients = learner.gradients(batch)[1]
    for variable, gradient in zip(learner.variables, gradients, strict=True):
        for place in np.ndindex(*variable.shape):
            step = np.zeros(variable.shape, np.float32)
            step[place] = 3e-3
            before = variable.numpy()
            errors = []
            for sign in (1, -1):
                variable.assign(before + sign * step)
                errors.append(learner.gradients(batch)[0])
            variable.assign(before)
            slope = (errors[0] - errors[1]) / 6e-3
            # float32 errors of about 10, and a schedule that is linear between its timesteps.
            assert gradient.numpy()[place] == pytest.approx(slope, abs=0.02, rel=0.1)


def test_a_batch_in_parts_is_the_batch() -> None:
    model, table, batch = denoiser(CosineSchedule()), random_table(3), examples(25)
    learner, whole = Learner(model, table, 10), Learner(model, table, 10)
    error, gradients = whole.gradients(batch)
    assert learner.improve(batch) == pytest.approx(error, rel=1e-5)
    means: list[Any] = []
    learner.optimizer.apply = means.extend
    learner.restore(whole.state())
    learner.improve(batch)
    for mean, gradient in zip(means, gradients, strict=True):
        np.testing.assert_allclose(mean, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [2, 5, 20])
def test_learning_begins_with_the_plain_solver(schedule: Schedule, steps: int) -> None:
    plain = plain_table(schedule, steps)
    begun = Parameters(schedule, plain, fixed_times=True).table()
    for name, row in vars(plain).items():
        np.testing.assert_allclose(getattr(begun, name), row, atol=1e-3, err_msg=name)
    assert begun.times[-1] >= least_time(schedule) - 1e-6


def test_a_table_of_another_count_begins_between_the_numbers() -> None:
    table = random_table(4)
    longer = stretched(table, 7)
    assert longer.times[::2] == pytest.approx(table.times)
    assert (longer.second_order[0], longer.third_order[:2]) == (0, (0, 0))
    assert stretched(table, 2).times == (table.times[0], table.times[-1])


def test_timesteps_fall_by_at_least_one() -> None:
    times = falling_timesteps(np.array([1.0, 0.9994, 0.9991, 0.5, 0.0012, 0.0001]), 1000)
    assert (1000 * times).round().tolist() == [1000, 999, 998, 500, 2, 1]
    crowded = falling_timesteps(np.array([1.0, 0.0, 0.0]), 1000)
    assert (1000 * crowded).round().tolist() == [1000, 2, 1]
