"""The numbers of a run: a CSV file, TensorBoard, and the line that says how it goes."""

import csv
import io
import sys
from dataclasses import asdict, dataclass, fields

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from .run_directory import RunDirectory, replacing


@dataclass(frozen=True)
class Row:
    """One logging step: means since the last; `eval_loss` is nan where nothing is held out."""

    step: int
    images: int
    loss: float
    eval_loss: float
    learning_rate: float
    images_per_second: float


class MetricsLog:
    """Appends rows to metrics.csv and TensorBoard."""

    def __init__(self, run: RunDirectory, *, first_step: int) -> None:
        self._path = run.metrics
        self._forget_after(first_step)
        self._writer = tf.summary.create_file_writer(str(run.logs))

    def write(self, row: Row) -> None:
        """Add one row."""
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, asdict(row)).writerow(asdict(row))
        with self._writer.as_default(step=row.step):
            for name, value in asdict(row).items():
                if name != "step" and not np.isnan(value):
                    tf.summary.scalar(name, value)
        self._writer.flush()

    def picture(self, image: np.ndarray, step: int) -> None:
        """Show a picture uint8 [H, W, 3] in TensorBoard."""
        with self._writer.as_default(step=step):
            tf.summary.image("samples", image[None])
        self._writer.flush()

    def _forget_after(self, step: int) -> None:
        """Drop the rows that a run wrote after the checkpoint it goes on from."""
        kept = []
        if self._path.exists():
            with self._path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if _is_row_until(row, step)]
        text = io.StringIO()
        writer = csv.DictWriter(text, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(kept)
        with replacing(self._path) as part:
            part.write_text(text.getvalue())


def _is_row_until(row: dict[str, str | None], step: int) -> bool:
    """Whether this is a row until `step`, and whole: a process that died may leave half of one."""
    number = row["step"] or ""
    return number.isdecimal() and int(number) <= step and all(row.values())


def progress_bar(total_steps: int, first_step: int) -> tqdm:
    """A bar with loss, images per second and time to go; a log file gets a line now and then."""
    interactive = sys.stderr.isatty()
    return tqdm(
        total=total_steps,
        initial=first_step,
        unit="step",
        dynamic_ncols=interactive,
        mininterval=0.2 if interactive else 30,
        smoothing=0.05,
    )
