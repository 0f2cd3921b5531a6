"""Interpolated noise is as long as noise, and at equal angles."""

import numpy as np
import pytest

from diffkiln.runtime.engine.slerp import slerp


def test_a_quarter_of_a_circle() -> None:
    halfway = slerp(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5]))
    np.testing.assert_allclose(halfway, [[2**-0.5, 2**-0.5]], rtol=1e-6)  # float32


def test_the_ends_are_the_ends() -> None:
    start, end = np.random.default_rng(0).standard_normal((2, 4, 4, 3)).astype(np.float32)
    first, last = slerp(start, end, np.array([0.0, 1.0]))
    assert np.array_equal(first, start)
    np.testing.assert_allclose(last, end, rtol=1e-6)  # sin ω/sin ω in float64, then float32


def test_the_way_keeps_the_length_of_noise() -> None:
    start, end = np.random.default_rng(1).standard_normal((2, 3000))
    lengths = np.linalg.norm(slerp(start, end, np.linspace(0, 1, 9)), axis=1)
    ends = sorted((np.linalg.norm(start), np.linalg.norm(end)))
    # Two draws of 3000 numbers are orthogonal to about 1/√3000, 0.02.
    assert (lengths > 0.96 * ends[0]).all()
    assert (lengths < 1.04 * ends[1]).all()


@pytest.mark.parametrize("factor", [1.0, -1.0])
def test_no_circle_through_one_point_or_opposite_ones(factor: float) -> None:
    noise = np.array([1.0, 2.0, -1.0])
    assert np.isfinite(slerp(noise, factor * noise, np.linspace(0, 1, 3))).all()
