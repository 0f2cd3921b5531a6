"""The solvers against known answers of the diffusers library (benchmarks/solver_answers.py)."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.export.proof.reference import ReferenceSampler
from diffkiln.export.proof.reference_noise import reference_noise
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import ddpm_linear

SEEDS, SHAPE = [0, 1], (2, 3, 1)
ANSWERS = json.loads(Path(__file__).parents[2].joinpath("solver_answers.json").read_text())
CASES = ANSWERS["answers"]


def name(case: dict) -> str:
    return f"{case['scheduler']} eta={case['eta']} clip={case['clip']} {case['steps']} steps"


def check(answer: np.ndarray, case: dict) -> None:
    """Compare x, which is normalised to [-1, 1] but runs far out of it where nothing clips.

    diffusers multiplies a thousand factors to its ᾱ in float32, and the first step magnifies what
    that changes by noise/signal, 157.
    """
    expected = np.reshape(case["x"], (len(SEEDS), *SHAPE))
    np.testing.assert_allclose(answer, expected, atol=1e-4 * np.abs(expected).max())


def noise(stream: int) -> np.ndarray:
    return reference_noise(SEEDS, SHAPE, stream=stream)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_the_reference_agrees_with_diffusers(case: dict) -> None:
    def network(x: np.ndarray, n: np.ndarray) -> np.ndarray:
        condition = 0.1 * np.cos(n[:, None, None, None] / 150)
        return np.tanh(0.7 * x + 0.2 * np.roll(x, 1, 1) + condition)

    settings = {key: case[key] for key in ("solver", "eta", "clip")}
    schedule = {"name": "ddpm_linear", "steps": 1000}
    # Pixels hold a thousand times [-1, 1] where nothing clips.
    pixel_std = 0.5 if case["clip"] else 0.0005
    sampler = ReferenceSampler(
        network, schedule, "noise", (0.5,), (pixel_std,), conditioning="timestep", **settings
    )
    check((sampler.from_noise(noise(0), case["steps"], SEEDS) - 0.5) / pixel_std, case)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_what_is_baked_agrees_with_diffusers(case: dict) -> None:
    def network(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        x, n = inputs
        return tf.tanh(
            0.7 * x + 0.2 * tf.roll(x, 1, 1) + 0.1 * tf.cos(n[:, None, None, None] / 150)
        )

    denoiser = Denoiser(
        network, ddpm_linear(), "noise", (0.5,), (0.5,), clip=case["clip"], conditioning="timestep"
    )
    sampling = Sampling(denoiser, case["solver"], case["eta"])
    step = tf.function(sampling.step)
    state = sampling.start(tf.constant(noise(0), tf.float32))
    image, total = state["noisy"], tf.constant(case["steps"], tf.int64)
    for k in range(case["steps"]):
        fresh = tf.constant(noise(k + 1), tf.float32) if case["eta"] else None
        state, image = step(tf.constant(k, tf.int64), total, state, fresh_noise=fresh)
    check(image.numpy(), case)
