"""A Sampler, and the command, of a latent model's bundle."""

from pathlib import Path

import numpy as np
import pytest
from in_process import run_sample
from PIL import Image

from diffkiln.runtime import Sampler

LATENT, IMAGE = (4, 4, 3), (16, 16, 3)


@pytest.fixture
def sampler(latents_bundle: Path) -> Sampler:
    return Sampler(latents_bundle, device="cpu")


def apart(some: np.ndarray, others: np.ndarray) -> int:
    return int(np.abs(some.astype(int) - others).max())


def test_noise_has_the_shape_of_latents(sampler: Sampler) -> None:
    assert (sampler.bundle.noise_shape, sampler.bundle.sample_shape) == (LATENT, IMAGE)
    (noise,) = sampler.run("noise", {"seeds": np.array([4, 5], np.int64)})
    assert noise.shape == (2, *LATENT)
    # One level: a batch of another size adds in another order.
    assert apart(sampler.from_noise(noise, steps=4), sampler.sample(2, seed=4, steps=4)) <= 1
    with pytest.raises(ValueError, match=r"noise of shape .*: expected \[N, 4, 4, 3\]"):
        sampler.from_noise(np.zeros((1, *IMAGE), np.float32))


def test_the_decoder_draws_the_latents_of_each_step(sampler: Sampler) -> None:
    frames = dict(sampler.stepwise(2, steps=3))
    assert apart(frames[2], sampler.sample(2, steps=3)) <= 1
    assert apart(sampler.trajectory(2, steps=3), np.stack([*frames.values()])) <= 1


def test_a_decoder_and_an_encoder_are_graphs_of_their_own(sampler: Sampler) -> None:
    images = sampler.sample(2, steps=3)
    (latents,) = sampler.run("encoder", {"images": images})
    (drawn,) = sampler.run("decoder", {"latents": latents})
    assert (latents.shape, drawn.shape, drawn.dtype) == ((2, *LATENT), images.shape, np.uint8)


def test_the_command_draws_and_edits(latents_bundle: Path, tmp_path: Path) -> None:
    flags = (f"--bundle={latents_bundle}", "--device=cpu", "--steps=3")
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    assert run_sample(*flags, "--count=1", f"--out={first}").stderr == ""
    done = run_sample(*flags, f"--edit={first}", "--count=1", f"--out={second}")
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(second) as picture:
        assert picture.size == (2 * 16 + 2, 16)  # the picture, and what became of it
