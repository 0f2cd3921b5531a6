"""The means and the breakdown in a row of metrics."""

import math

import numpy as np
import tensorflow as tf

from diffkiln.trainer.run.metrics import TIME_COLUMNS
from diffkiln.trainer.training.step_metrics import Breakdown, StepMetrics


def update(
    metrics: StepMetrics,
    step: int,
    losses: list[float],
    times: list[float],
    norm: float = 1.0,
) -> None:
    values = (tf.constant(value) for value in (losses, times, norm))
    metrics.update(tf.constant(step, tf.int64), *values)


def test_means_are_over_all_steps_and_start_again() -> None:
    metrics = StepMetrics()
    update(metrics, 0, [1.0, 3.0], [0.0, 0.95], norm=2.0)
    update(metrics, 1, [5.0, 7.0], [0.1, 1.0], norm=4.0)
    means = metrics.take()
    assert (means["loss"], means["gradient_norm"]) == (4.0, 3.0)
    by_time = [means[column] for column in TIME_COLUMNS]
    np.testing.assert_array_equal(by_time, [3.0, math.nan, math.nan, math.nan, 5.0])
    update(metrics, 2, [9.0], [0.5])
    assert metrics.take()["loss"] == 9.0


def test_an_overflow_is_no_part_of_the_gradients_mean() -> None:
    metrics = StepMetrics(skips_overflow=True)
    update(metrics, 1, [1.0], [0.5], norm=math.inf)
    update(metrics, 2, [1.0], [0.5], norm=3.0)
    assert metrics.take()["gradient_norm"] == 3.0
    assert metrics.breakdown is None


def test_a_gradient_that_is_not_finite_breaks_the_run_where_it_is_applied() -> None:
    metrics = StepMetrics()
    update(metrics, 3, [1.0, 4.0], [0.5, 0.25], norm=math.nan)
    assert metrics.breakdown == Breakdown(3, 0.25)


def test_the_first_loss_that_is_not_finite_is_remembered() -> None:
    metrics = StepMetrics()
    update(metrics, 6, [1.0, 1.0], [0.5, 0.75])
    assert metrics.breakdown is None
    update(metrics, 7, [1.0, math.nan], [0.5, 0.75])
    update(metrics, 8, [math.inf, 1.0], [0.25, 0.5])
    assert metrics.breakdown == Breakdown(7, 0.75)
