"""Tables of random numbers: nothing that is left out of a step could go unnoticed."""

from pathlib import Path
from typing import Any

import numpy as np

from diffkiln.export.learning.file import TableFile, subject_of
from diffkiln.export.options import settings_as_objects
from diffkiln.export.preparing import baked_signatures
from diffkiln.trainer.maths.tables import Table, Tables


def random_table(steps: int, seed: int = 0, timesteps: int | None = None) -> Table:
    """A table whose first guidance factor is 0; with times of a discrete schedule if asked."""
    rng = np.random.default_rng([seed, steps])
    times = np.append(1.0, -np.sort(-rng.uniform(0.1, 0.95, steps - 1)))
    told = np.clip(times + rng.normal(0, 0.05, steps), 0, 1)
    if timesteps is not None:
        times, told = (np.round(row * timesteps) / timesteps for row in (times, told))
    second, third = rng.normal(1, 0.3, steps), rng.normal(0, 0.3, steps)
    second[0], third[: min(2, steps - 1)] = 0, 0
    factors = np.append(0.0, rng.uniform(0.5, 1.5, steps - 1))
    return Table(*(tuple(row.tolist()) for row in (times, told, second, third, factors)))


def random_tables(
    *counts: int, guidance: tuple[float, float] | None = None, timesteps: int | None = None
) -> Tables:
    """Random tables of these counts of steps."""
    tables = {steps: random_table(steps, timesteps=timesteps) for steps in counts}
    return Tables(tables, guidance)


def write_tables(path: Path, network: Any, tables: Tables, **settings: Any) -> str:
    """A table file for a network as these settings export it."""
    signatures = baked_signatures(network, *settings_as_objects(**settings))
    guidance = None if tables.guidance is None else [*tables.guidance]
    subject = subject_of(network, signatures.sampling)
    TableFile(subject, guidance, tables.to_json()["by_steps"]).write(path)
    return str(path)
