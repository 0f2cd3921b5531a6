"""Time grids against their closed forms."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from diffkiln.trainer.config import TIME_GRIDS
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.schedules import (
    CosineSchedule,
    DiscreteSchedule,
    Schedule,
    ddpm_cosine,
    ddpm_linear,
)

SCHEDULES = (CosineSchedule(), ddpm_linear(), ddpm_cosine())


def grid_function(schedule: Schedule, time_grid: str = "linear") -> Any:
    """All times of a grid, compiled once for any number of steps."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64)], autograph=False)
    def times(steps: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda step: schedule.grid_time(step, steps, time_grid),
            tf.range(steps + 1),
            fn_output_signature=tf.float32,
        )

    return times


def grid(schedule: Schedule, steps: int, time_grid: str = "linear") -> np.ndarray:
    return grid_function(schedule, time_grid)(tf.constant(steps, tf.int64)).numpy()


@pytest.mark.parametrize("time_grid", TIME_GRIDS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_grids_fall_from_one_to_zero(schedule: Schedule, time_grid: str) -> None:
    function = grid_function(schedule, time_grid)
    for steps in (1, 2, 20, 1000):
        times = function(tf.constant(steps, tf.int64)).numpy()
        assert times[0] == pytest.approx(1, abs=1e-6)
        assert times[-1] == pytest.approx(0, abs=1e-6)
        assert np.all(np.diff(times) <= 0)
        # No network is asked about an image free of noise before the end.
        assert schedule.rates(tf.constant(times[-2]))[1] > 0


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_unknown_grids_are_refused(schedule: Schedule) -> None:
    with pytest.raises(InputError, match=r"^time_grid=cubic: expected one of linear, linspace"):
        grid(schedule, 2, "cubic")


LINEAR = grid_function(CosineSchedule())


@given(st.integers(1, 1000))
def test_linear_grid_runs_from_one_to_zero(steps: int) -> None:
    times = LINEAR(tf.constant(steps, tf.int64)).numpy()
    assert (times[0], times[-1]) == (1, 0)
    assert np.all(np.diff(times) < 0)


@pytest.mark.parametrize(
    ("steps", "expected"), [(3, [1000, 667, 333, 0]), (4, [1000, 750, 500, 250, 0]), (1, [1000, 0])]
)
def test_discrete_grid_has_trailing_spacing(steps: int, expected: list[int]) -> None:
    assert np.rint(grid(ddpm_linear(), steps) * 1000).tolist() == expected


@pytest.mark.parametrize(
    ("steps", "expected"), [(1, [1, 0]), (2, [1, 0, 0]), (5, [1, 0.75, 0.5, 0.25, 0, 0])]
)
def test_linspace_evaluates_at_both_ends(steps: int, expected: list[float]) -> None:
    assert grid(CosineSchedule(), steps, "linspace").tolist() == expected


@pytest.mark.parametrize(
    ("steps", "expected"), [(1, [1000, 0]), (2, [1000, 1, 0]), (3, [1000, 501, 1, 0])]
)
def test_discrete_linspace_ends_at_one(steps: int, expected: list[int]) -> None:
    assert np.rint(grid(ddpm_linear(), steps, "linspace") * 1000).tolist() == expected


def test_discrete_grid_of_all_steps_visits_every_integer() -> None:
    assert np.rint(grid(ddpm_linear(), 1000) * 1000).tolist() == list(range(1000, -1, -1))


@pytest.mark.parametrize(
    ("steps", "expected"), [(2, [1000, 250, 0]), (4, [1000, 563, 250, 63, 0]), (1, [1000, 0])]
)
def test_quadratic_grids_square_the_remaining_share(steps: int, expected: list[int]) -> None:
    squares = [(1 - k / steps) ** 2 for k in range(steps + 1)]
    assert grid(CosineSchedule(), steps, "quadratic").tolist() == squares
    assert np.rint(grid(ddpm_linear(), steps, "quadratic") * 1000).tolist() == expected


@pytest.mark.parametrize("schedule", [ddpm_linear(), ddpm_cosine()])
def test_the_discrete_karras_grid_takes_the_nearest_ratio(schedule: DiscreteSchedule) -> None:
    ratio = np.sqrt(1 / schedule.alpha_bar - 1)
    wanted = [(1 - k / 9) ** 7 * ratio[-1] for k in range(10)]
    nearest = [max(int(np.abs(ratio - w).argmin()), 9 - k) for k, w in enumerate(wanted)]
    assert np.rint(grid(schedule, 9, "karras") * 1000).tolist() == nearest


def test_karras_spaces_noise_over_signal_evenly_in_its_seventh_root() -> None:
    signal, noise = CosineSchedule().rates(tf.constant(grid(CosineSchedule(), 8, "karras")))
    roots = (noise / signal).numpy() ** (1 / 7)
    np.testing.assert_allclose(np.diff(roots), (roots[-1] - roots[0]) / 8, atol=1e-5)
