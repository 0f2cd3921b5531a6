"""A Sampler, and the command, of a bundle that draws arrays instead of pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import run_sample

from diffkiln.runtime import Sampler
from diffkiln.runtime.engine.arguments import checked_mask
from diffkiln.runtime.errors import BundleError

SHAPE = (13, 3)
STD = (0.5, 10.0, 3.0)
# Of a standard deviation: a batch of another size adds in another order.
APART = 1e-5


@pytest.fixture
def sampler(arrays_bundle: Path) -> Sampler:
    return Sampler(arrays_bundle, device="cpu")


def apart(some: np.ndarray, others: np.ndarray) -> float:
    return float(np.abs((some - others) / STD).max())


def test_samples_are_floats_of_any_range(sampler: Sampler) -> None:
    assert (sampler.bundle.draws_arrays, sampler.bundle.sample_shape) == (True, SHAPE)
    samples = sampler.sample(5, seed=3, steps=6)
    assert (samples.dtype, samples.shape) == (np.float32, (5, *SHAPE))
    assert samples.min() < -1
    assert samples.max() > 1
    assert apart(samples[2:3], sampler.sample(seeds=[5], steps=6, labels=1)) <= APART


def test_single_steps_and_frames_end_in_the_samples(sampler: Sampler) -> None:
    samples = sampler.sample(3, steps=4)
    *_, (step, last) = sampler.stepwise(3, steps=4)
    assert (step, apart(last, samples) <= APART) == (3, True)
    frames = sampler.trajectory(3, steps=4)
    assert (frames.dtype, frames.shape) == (np.float32, (4, 3, *SHAPE))
    assert apart(frames[-1], samples) <= APART


def test_encoding_is_undone_by_drawing(sampler: Sampler) -> None:
    given: dict[str, Any] = {"steps": 50, "labels": 0, "guidance": 1.0}
    samples = sampler.sample(3, **given)
    # DDIM's inversion is not exact: a tenth of a standard deviation in 50 steps.
    assert apart(sampler.reconstruct(samples, **given), samples) <= 0.1


def test_a_part_is_filled_in_and_the_rest_stays(sampler: Sampler) -> None:
    samples, mask = sampler.sample(2, steps=4), np.zeros(SHAPE[:1], np.uint8)
    mask[5:] = 1
    filled = sampler.inpaint(samples, mask, seed=9, steps=4)
    assert np.array_equal(filled[:, :5], samples[:, :5])
    assert not np.isclose(filled[:, 5:], samples[:, 5:]).any()


def test_noise_that_float32_cannot_hold_is_refused(sampler: Sampler) -> None:
    with pytest.raises(ValueError, match="noise of dtype float64: expected floats without NaN or"):
        sampler.from_noise(np.full((1, *SHAPE), -1e300))


@pytest.mark.parametrize("last", [1, 3])
def test_a_mask_has_an_axis(sampler: Sampler, last: int) -> None:
    vectors = sampler.bundle._replace(sample_shape=(last,))
    assert checked_mask(vectors, np.ones(last, np.uint8), 2).shape == (2, last)
    with pytest.raises(ValueError, match=rf"mask of shape \[\]: expected .* or \[{last}\] for all"):
        checked_mask(vectors, np.uint8(1), 2)


def test_edits_and_interpolations_are_arrays(sampler: Sampler) -> None:
    samples = sampler.sample(2, steps=4)
    assert sampler.edit(samples, 0.5, steps=4).shape == samples.shape
    path = sampler.interpolate(0, 1, 3, steps=4, labels=0)
    ends = sampler.sample(2, steps=4, labels=0)
    assert apart(path[[0, -1]], ends) <= APART


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (np.zeros((2, 12, 3), np.float32), r"samples of shape \[2, 12, 3\]: expected \[N, 13, 3\]"),
        (np.zeros((2, 13, 3), np.uint8), "samples of dtype uint8: expected floats"),
        (np.full((2, 13, 3), np.nan, np.float32), "expected floats without NaN"),
        # Which float32 would hold as infinity.
        (np.full((2, 13, 3), 1e300), "dtype float64: expected floats without NaN or infinity"),
    ],
)
def test_wrong_arrays_are_refused(sampler: Sampler, wrong: np.ndarray, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        sampler.encode(wrong)


def test_nothing_is_enlarged(sampler: Sampler) -> None:
    with pytest.raises(BundleError, match="draws arrays that are no pictures"):
        sampler.upscale(np.zeros((1, 4, 4, 3), np.uint8))


def test_the_command_writes_an_npz(arrays_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    flags = (f"--bundle={arrays_bundle}", "--device=cpu", f"--out={out}", "--steps=3")
    done = run_sample(*flags, "--count=3", "--seed=4", "--label=falling")
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(out) as arrays, Sampler(arrays_bundle, device="cpu") as sampler:
        assert arrays["seeds"].tolist() == [4, 5, 6]
        expected = sampler.sample(3, seed=4, steps=3, labels="falling")
        assert apart(arrays["samples"], expected) <= APART


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--out=x.png"], "--out=x.png: expected a .npz, for the bundle draws arrays"),
        (["--out=x"], "--out=x: expected a .npz"),
        (["--out=x.gif"], "--out=x.gif: expected a .npz"),
        (["--out=x.npz", "--reconstruct=p.png"], "--reconstruct=p.png: takes a picture, and the"),
        (["--out=x.npz", "--upscale=p.png"], "--upscale=p.png: takes a picture, and the"),
    ],
)
def test_what_is_for_pictures_is_refused(
    arrays_bundle: Path, flags: list[str], expected: str
) -> None:
    done = run_sample(f"--bundle={arrays_bundle}", *flags)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert expected in done.stderr
