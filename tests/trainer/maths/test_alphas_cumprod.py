"""Schedules that are arrays of numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.alphas_cumprod import read_alphas_cumprod
from diffkiln.trainer.maths.conventions import check_conventions
from diffkiln.trainer.maths.schedules import (
    as_schedule,
    ddpm_cosine,
    ddpm_linear,
    rescale_zero_terminal_snr,
    schedule_from_alphas_cumprod,
    schedule_from_betas,
)


def test_the_papers_betas_are_ddpm_linear() -> None:
    schedule = schedule_from_betas(np.linspace(1e-4, 0.02, 1000))
    np.testing.assert_array_equal(schedule.alpha_bar, ddpm_linear().alpha_bar)
    assert schedule.describe()["alphas_cumprod"] == ddpm_linear().alpha_bar[1:].tolist()


def test_alphas_of_float32_stay_what_they_are(tmp_path: Path) -> None:
    alphas = ddpm_cosine(50).alpha_bar[1:].astype(np.float32)
    np.save(tmp_path / "a.npy", alphas)
    schedule = schedule_from_alphas_cumprod(read_alphas_cumprod(tmp_path / "a.npy"))
    assert schedule.alpha_bar.tolist() == [1.0, *alphas.astype(np.float64).tolist()]
    assert schedule.max_steps == 50


@pytest.mark.parametrize(
    ("alphas", "words"),
    [
        ([1.0, 0.5], "begins with 1, expected the number of timestep 1"),
        ([0.9, 0.5, 0.5], "0.5 at timestep 3 comes after 0.5, expected numbers that fall"),
        ([0.9, 1.5], "got numbers from 0.9 to 1.5, expected each from 1e-30 to 1"),
        ([0.9, float("nan")], "got numbers from nan to nan"),
        ([0.9, 0.0, 0.0], "got numbers from 0 to 0.9, expected .* only the last may be 0"),
        ([0.9], r"got float64 of shape \[1\], expected floats of one dimension, 2 to 10000"),
        ([[0.9, 0.8]], r"got float64 of shape \[1, 2\]"),
        ([1, 0], r"got int64 of shape \[2\]"),
        ("ddpm", r"got <U4 of shape \[\]"),
    ],
)
def test_what_is_no_schedule_is_refused(alphas: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"^alphas_cumprod: {words}"):
        schedule_from_alphas_cumprod(alphas)


@pytest.mark.parametrize("betas", [[0.0, 0.1], [1.0, 1.0], [0.1, -0.1], [0.1, float("inf")]])
def test_betas_are_shares(betas: list[float]) -> None:
    with pytest.raises(InputError, match=r"^betas: got numbers from .* expected each above 0"):
        schedule_from_betas(betas)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npy", a=[0.5])
    (tmp_path / "two.npy.npz").rename(tmp_path / "two.npy")
    (tmp_path / "text.npy").write_text("0.9, 0.8")
    for name, words in (("two", "holds NpzFile"), ("text", "pickle"), ("no", "No such file")):
        with pytest.raises(InputError, match=f"^schedule=.*{name}.npy: .*{words}.*; expected a"):
            read_alphas_cumprod(tmp_path / f"{name}.npy")


def test_a_schedule_may_be_a_name() -> None:
    assert as_schedule("ddpm_linear").describe() == ddpm_linear().describe()
    assert as_schedule(None).describe()["name"] == "cosine"
    with pytest.raises(InputError, match=r"^schedule=sine: expected one of cosine, ddpm_linear"):
        as_schedule("sine")
    with pytest.raises(InputError, match=r"^schedule: got ndarray, expected cosine, ddpm_linear"):
        as_schedule(np.ones(3))  # type: ignore[arg-type]


def test_zero_terminal_snr_keeps_the_first_timestep_and_ends_in_noise() -> None:
    """arXiv 2305.08891: the signal rates of ddpm_linear, on a straight line to 0."""
    before, schedule = ddpm_linear(), rescale_zero_terminal_snr(ddpm_linear())
    signal, old = np.sqrt(schedule.alpha_bar), np.sqrt(before.alpha_bar)
    assert schedule.alpha_bar[-1] == 0
    assert schedule.ends_in_noise
    assert not before.ends_in_noise
    assert schedule.alpha_bar[1] == pytest.approx(1 - 1e-4, rel=1e-12)
    slope = np.diff(signal[1:]) / np.diff(old[1:])
    np.testing.assert_allclose(slope, slope[0], rtol=1e-7)
    assert schedule_from_betas([0.1, 0.5, 1.0]).alpha_bar.tolist() == [1, 0.9, 0.45, 0]


def test_noise_does_not_tell_an_image_of_which_nearly_nothing_is_left() -> None:
    schedule = schedule_from_betas(np.linspace(1e-4, 0.1, 1000))
    for prediction in ("velocity", "image"):
        check_conventions(schedule, prediction, "log_snr", 1)
    with pytest.raises(InputError, match=r"^prediction=noise: .* leaves a signal rate of 6e-12"):
        check_conventions(schedule, "noise", "time", 1)
