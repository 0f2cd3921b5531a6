"""The numbers of a run: a CSV file, TensorBoard, and a progress bar."""

import csv
import io
import sys
from dataclasses import dataclass, fields

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from .atomic import replacing
from .directory import RunDirectory

# The losses are reported for this many equal parts of the time t in [0, 1].
TIME_PARTS = 5


@dataclass(frozen=True)
class Row:
    """One logging step: means since the last one, nan if there is nothing to measure.

    `loss_by_time` are the mean losses in equal parts of t in [0, 1]. `input_wait_ms` is the time
    that a step waited for its images.
    """

    step: int
    images: int
    loss: float
    eval_loss: float
    kid: float
    kid_standard_error: float
    loss_by_time: tuple[float, ...]
    gradient_norm: float
    learning_rate: float
    loss_scale: float
    images_per_second: float
    input_wait_ms: float

    def columns(self) -> dict[str, float]:
        """All numbers by their names in metrics.csv."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "loss_by_time"}
        by_time = zip(_TIME_COLUMNS, self.loss_by_time, strict=True)
        return {**values, **dict(by_time)}


_TIME_COLUMNS = tuple(
    f"loss_t{part / TIME_PARTS:.1f}-{(part + 1) / TIME_PARTS:.1f}" for part in range(TIME_PARTS)
)
COLUMNS = (*(f.name for f in fields(Row) if f.name != "loss_by_time"), *_TIME_COLUMNS)


class MetricsLog:
    """Appends rows to metrics.csv and TensorBoard."""

    def __init__(self, run: RunDirectory, *, first_step: int) -> None:
        self._path = run.metrics
        self._forget_after(first_step)
        self._writer = tf.summary.create_file_writer(str(run.logs))

    def write(self, row: Row) -> None:
        """Add one row."""
        columns = row.columns()
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(columns)
        with self._writer.as_default(step=row.step):
            for name, value in columns.items():
                if name != "step" and not np.isnan(value):
                    tf.summary.scalar(name, value)
        self._writer.flush()

    def picture(self, image: np.ndarray, step: int) -> None:
        """Show a picture uint8 [H, W, 3] in TensorBoard."""
        with self._writer.as_default(step=step):
            tf.summary.image("samples", image[None])
        self._writer.flush()

    def _forget_after(self, step: int) -> None:
        """Drop the rows that a run wrote after the checkpoint from which it goes on."""
        before = []
        if self._path.exists():
            with self._path.open(newline="") as file:
                before = [row for row in csv.DictReader(file) if _is_row_until(row, step)]
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, restval="nan")
        writer.writeheader()
        writer.writerows(before)
        with replacing(self._path) as part:
            part.write_text(text.getvalue(), newline="")


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
