"""A table as unbounded numbers that gradients may move, and where they begin."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ...trainer.maths.plain_tables import least_time
from ...trainer.maths.schedules import DiscreteSchedule, Rates, Schedule
from ...trainer.maths.tables import Table

# The times that the network is told move more slowly than the other numbers.
_TIME_UNIT = 0.1
# Where the last time begins, and how far it may go, as shares of all time.
_FIRST_END, _GREATEST_END = 0.01, 0.9
_LARGEST = 100.0
# A factor that is nearly nothing becomes nothing, which saves an evaluation.
_SMALLEST_FACTOR = 0.02
_DIGITS = 6


class Parameters:
    """The numbers of one table, of which `variables` are to be learned: all, or not the times.

    The times are 1 less the sums of softmax(gaps), scaled so that the last is at least the least
    time of the schedule; the network is told a time of its own, shifted from them.
    """

    def __init__(self, schedule: Schedule, start: Table, *, fixed_times: bool = False) -> None:
        self._schedule, self._least, self._steps = schedule, least_time(schedule), len(start.times)
        times, told = np.array(start.times), np.array(start.network_times)
        # At 0 the absolute value, which keeps the last time from going below, has no gradient.
        last = max(times[-1] - self._least, 0.0 if fixed_times else _FIRST_END)
        rows = np.log(-np.diff(times)), last, (told - times) / _TIME_UNIT
        self._of_times = [*map(_variable, rows)]
        rows = start.second_order, start.third_order, start.guidance_factors
        self._coefficients = [*map(_variable, rows)]
        of_times = [] if fixed_times else self._of_times
        self.variables = [*of_times, *self._coefficients]
        place = np.arange(self._steps)
        self._has_previous = (place > 0).astype(np.float32)
        has_earlier = (place > 1) | ((place > 0) & (place == self._steps - 1))
        self._has_earlier = has_earlier.astype(np.float32)

    def rows(self) -> Any:
        """The rows of the table, float32 [5, N], in the order of `tables.NAMES`."""
        gaps, last, shifts = map(tf.convert_to_tensor, self._of_times)
        second, third, factors = map(tf.convert_to_tensor, self._coefficients)
        fallen = tf.concat([[0.0], tf.cumsum(tf.nn.softmax(gaps))], axis=0)
        left = 1.0 - self._least
        times = 1.0 - fallen * (left - tf.minimum(tf.abs(last), _GREATEST_END * left))
        told = tf.clip_by_value(times + _TIME_UNIT * shifts, self._least, 1.0)
        second, third = second * self._has_previous, third * self._has_earlier
        return tf.stack([times, told, second, third, factors])

    def table(self) -> Table:
        """The table as it is now; with whole timesteps for a discrete schedule."""
        times, told, second, third, factors = self.rows().numpy().astype(np.float64)
        factors = np.where(np.abs(factors) < _SMALLEST_FACTOR, 0.0, factors)
        second, third, factors = np.clip((second, third, factors), -_LARGEST, _LARGEST)
        rows = [row.round(_DIGITS) for row in (times, told, second, third, factors)]
        if isinstance(self._schedule, DiscreteSchedule):
            total = self._schedule.max_steps
            rows[:2] = falling_timesteps(times, total), timesteps(told, total)
        return Table(*(tuple(row.tolist()) for row in rows))


@dataclass(frozen=True)
class Smooth(DiscreteSchedule):
    """A discrete schedule that goes on between its timesteps, so that times have gradients."""

    def timestep(self, time: tf.Tensor) -> tf.Tensor:
        """t·T, not rounded."""
        return time * float(self.max_steps)

    def rates(self, time: tf.Tensor) -> Rates:
        """The rates, interpolated between the two nearest timesteps."""
        position = self.timestep(time)
        low = tf.clip_by_value(tf.floor(position), 0.0, self.max_steps - 1.0)
        index, share = tf.cast(low, tf.int32), position - low

        def between(rates: np.ndarray) -> tf.Tensor:
            known = tf.constant(rates, tf.float32)
            return (1.0 - share) * tf.gather(known, index) + share * tf.gather(known, index + 1)

        return Rates(between(np.sqrt(self.alpha_bar)), between(np.sqrt(1 - self.alpha_bar)))


def timesteps(times: np.ndarray, total: int) -> np.ndarray:
    """The nearest n/T with n from 1 to T."""
    return np.clip(np.round(times * total), 1, total) / total


def falling_timesteps(times: np.ndarray, total: int) -> np.ndarray:
    """The nearest n/T, each n at least one less than the one before."""
    left = np.arange(len(times), 0, -1)
    wanted = np.maximum(np.round(times * total), left).astype(int)
    return np.array([*itertools.accumulate(wanted, lambda n, m: min(n - 1, m))]) / total


def _variable(values: Any) -> Any:
    return tf.Variable(tf.constant(values, tf.float32))
