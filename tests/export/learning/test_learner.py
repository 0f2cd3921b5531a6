"""Learning a table by gradients: they are right, start where they should, and lead somewhere."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_models import conditioned_network, with_random_weights
from small_tables import random_table

from diffkiln.export.baking.network import adapted
from diffkiln.export.learning.learner import Examples, Learner
from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.guidance import Conditioning
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import CosineSchedule, Schedule, ddpm_cosine, ddpm_linear
from diffkiln.trainer.maths.tables import Table, Tables
from diffkiln.trainer.network.unet import build_unet

SCHEDULES = [CosineSchedule(), CosineSchedule(1.0, 0.02), ddpm_linear(), ddpm_cosine()]


def denoiser(schedule: Schedule, **settings: Any) -> Denoiser:
    pixels = (0.45, 0.4, 0.3), (0.3, 0.25, 0.28)
    return Denoiser(adapted(conditioned_network()), schedule, "velocity", *pixels, **settings)


def class_denoiser() -> Denoiser:
    network = with_random_weights(build_unet(NetworkConfig(8, (16,), 1, 2, num_classes=3)))
    pixels = (0.5,) * 3, (0.25,) * 3
    return Denoiser(adapted(network), CosineSchedule(), "velocity", *pixels, num_classes=3)


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


@pytest.mark.parametrize("schedule", [CosineSchedule(), ddpm_linear()])
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
