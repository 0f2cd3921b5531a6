"""The numbers of a run: a CSV file, TensorBoard, and a progress bar."""

import csv
import sys
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from .atomic import replacing
from .directory import RunDirectory

# The losses are reported for this many equal parts of the time t in [0, 1].
TIME_PARTS = 5
TIME_COLUMNS = tuple(
    f"loss_t{part / TIME_PARTS:.1f}-{(part + 1) / TIME_PARTS:.1f}" for part in range(TIME_PARTS)
)
# `input_wait_ms` is the time that a step waited for its images.
COLUMNS = (
    *("step", "images", "loss", "eval_loss", "kid", "kid_standard_error", "gradient_norm"),
    *("learning_rate", "loss_scale", "images_per_second", "input_wait_ms"),
    *TIME_COLUMNS,
)


class MetricsLog:
    """Appends rows to metrics.csv and TensorBoard."""

    def __init__(self, run: RunDirectory, *, first_step: int) -> None:
        self._path = run.metrics
        rows = []
        if self._path.exists():
            # Rows that a run wrote after the checkpoint from which it goes on are dropped.
            with self._path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if _is_row_until(row, first_step)]
        with replacing(self._path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="nan")
            writer.writeheader()
            writer.writerows(rows)
        self._writer = tf.summary.create_file_writer(str(run.logs))

    def write(self, row: Mapping[str, float]) -> None:
        """Add a row of all COLUMNS: means since the last one, nan where there is none."""
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        with self._writer.as_default(step=int(row["step"])):
            for name, value in row.items():
                if name != "step" and not np.isnan(value):
                    tf.summary.scalar(name, value)
        self._writer.flush()

    def picture(self, image: np.ndarray, step: int) -> None:
        """Show a picture uint8 [H, W, 3] in TensorBoard."""
        with self._writer.as_default(step=step):
            tf.summary.image("samples", image[None])
        self._writer.flush()


def _is_row_until(row: dict[str, str | None], step: int) -> bool:
    """Whether this is a whole row up to `step`; a process that died may leave half of one."""
    number = row["step"] or ""
    return number.isdecimal() and int(number) <= step and all(row.values())


def progress_bar(total_steps: int, first_step: int, *, shown: bool = True) -> tqdm:
    """A bar with loss, images per second and remaining time, every 30 s unless on a terminal."""
    interactive = sys.stderr.isatty()
    return tqdm(
        total=total_steps,
        initial=first_step,
        unit="step",
        disable=not shown,
        dynamic_ncols=interactive,
        mininterval=0.2 if interactive else 30,
        smoothing=0.05,
    )
