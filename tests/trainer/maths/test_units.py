"""Units in which float32 can hold arrays."""

import re

import numpy as np
import pytest

from diffkiln.trainer.data.arrays import array_statistics
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths import units


@pytest.mark.parametrize("mean", [0.5, 1.0, 48.85, 1e6])
def test_float32_rounds_by_no_more(mean: float) -> None:
    numbers = np.random.default_rng(0).normal(mean, 0.01 * mean, 1000)
    apart = np.abs(numbers.astype(np.float32) - numbers).max() / (0.01 * mean)
    # A number lies at most half of the last bit away, which is worth half at the next power of two.
    assert 0.2 < apart / units.rounding([mean], [0.01 * mean]) < 0.6


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        ((0.0, 1e8), (1.0, 1.0), r"entry 1 .* float32 rounds by 12 deviations, .* subtract a num"),
        ((0.0,), (1e-34,), r"deviation 1e-34, expected a deviation from 1e-33 to 1e\+37 "),
        ((0.0,), (np.inf,), r"deviation inf, expected a deviation from"),
        ((np.nan,), (1.0,), r"mean nan and deviation 1, expected"),
    ],
)
def test_what_float32_cannot_hold_is_said(
    mean: tuple[float, ...], std: tuple[float, ...], expected: str
) -> None:
    assert re.search(expected, units.problem(mean, std) or "")


def test_only_an_entry_that_float32_rounds_has_a_wider_unit() -> None:
    assert units.comparable((0.0, -20.0, 1e6), (1.0, 0.1, 1.0)) == pytest.approx(
        [1, 0.1, 119.2], 1e-3
    )


def test_small_and_far_numbers_may_be_held() -> None:
    """Masses of electrons in kilograms, and degrees of places in one town."""
    assert units.problem((9e-31, 48.85), (1e-31, 1e-4)) is None


def test_statistics_that_no_export_takes_are_refused_before_training() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    with pytest.raises(InputError, match=r"the data: entry 0 .* choose other units"):
        array_statistics([rows * np.float32(1e-35)])


@pytest.mark.parametrize(("number", "deviation"), [(0.1, 1.0), (-5e9, 5e3)])
def test_an_entry_that_is_the_same_everywhere(number: float, deviation: float) -> None:
    mean, std = array_statistics([np.full((9, 1), number, np.float32)])
    assert mean == pytest.approx([number])
    assert std == pytest.approx([deviation])
