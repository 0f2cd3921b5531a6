"""Measures tasks that take turns: a machine's speed changes, but not between two neighbours."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diffkiln.runtime.bench.figures import median_ratio

Task = Callable[[], object]


def seconds(task: Task) -> float:
    """Time a task once."""
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def in_turns(
    tasks: Mapping[str, Task], *, rounds: int, pause_s: float = 0.0
) -> dict[str, list[float]]:
    """Run all tasks once to warm up, then `rounds` times in turns; return the seconds of each.

    A pause before each task lets the threads of the one before go to sleep.
    """
    for task in tasks.values():
        task()
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            time.sleep(pause_s)
            times[name].append(seconds(task))
    return times


def ratios(times: Mapping[str, Sequence[float]], base: str) -> dict[str, float]:
    """Return the median, over the rounds, of each task's time over that of `base`."""
    return {name: median_ratio(values, times[base]) for name, values in times.items()}


def resident_megabytes() -> float:
    """Return the memory that this process has resident now; Linux only."""
    fields = Path("/proc/self/status").read_text().split()
    return int(fields[fields.index("VmRSS:") + 1]) / 1024
