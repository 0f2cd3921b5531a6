"""Tables that were not learned: the numbers of a solver, and those of another count of steps."""

import numpy as np

from .schedules import CosineSchedule, DiscreteSchedule, EDMSchedule, FlowSchedule, Schedule
from .tables import Table

_LEAST_NOISE_RATE = 0.01


def plain_table(schedule: Schedule, steps: int) -> Table:
    """DPM-Solver++(2M) on linspace as a table."""
    times = np.linspace(1, least_time(schedule), steps)
    if isinstance(schedule, DiscreteSchedule):
        # Halves up, as linspace rounds.
        times = np.floor(times * schedule.max_steps + 0.5) / schedule.max_steps
    row, ones = tuple(times.tolist()), (1.0,) * steps
    # What follows an infinite step is of first order too.
    second = (0.0, 0.0, *ones[2:]) if schedule.ends_in_noise else (0.0, *ones[1:])
    return Table(row, row, second, (0.0,) * steps, ones)


def stretched(table: Table, steps: int) -> Table:
    """A table of another count of steps, whose numbers lie between those of this one."""
    old, new = np.linspace(0, 1, len(table.times)), np.linspace(0, 1, steps)
    rows = [np.interp(new, old, row) for row in vars(table).values()]
    _, _, second, third, _ = rows
    second[0], third[: min(2, steps - 1)] = 0, 0
    return Table(*(tuple(row.tolist()) for row in rows))


def least_time(schedule: Schedule) -> float:
    """The least time at which there is still noise to speak of."""
    if isinstance(schedule, CosineSchedule):
        start, end = np.arccos([schedule.max_signal_rate, schedule.min_signal_rate])
        return float(max(np.arcsin(_LEAST_NOISE_RATE) - start, 0.0) / (end - start))
    if isinstance(schedule, FlowSchedule):
        return _LEAST_NOISE_RATE
    if isinstance(schedule, EDMSchedule):
        return max(schedule.time_of(_LEAST_NOISE_RATE), 0.0)
    return 1 / schedule.max_steps
