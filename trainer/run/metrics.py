"""The numbers of a run: a CSV file, TensorBoard, and a progress bar."""

import contextlib
import csv
import io
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from .atomic import set_aside, write_error, write_text
from .directory import RunDirectory

logger = logging.getLogger("diffkiln.trainer")

# The losses are reported for this many equal parts of the time t in [0, 1].
TIME_PARTS = 5
TIME_COLUMNS = tuple(
    f"loss_t{part / TIME_PARTS:.1f}-{(part + 1) / TIME_PARTS:.1f}" for part in range(TIME_PARTS)
)
# Of every run; `input_wait_ms` is the time that a step waited for its images.
COLUMNS = (
    *("step", "images", "loss", "eval_loss", "kid", "kid_standard_error", "gradient_norm"),
    *("learning_rate", "loss_scale", "images_per_second", "input_wait_ms"),
    *TIME_COLUMNS,
)


class MetricsLog:
    """Appends rows to metrics.csv and TensorBoard."""

    def __init__(
        self, run: RunDirectory, *, first_step: int, columns: Sequence[str] = COLUMNS
    ) -> None:
        self._path, self._logs, self._columns = run.metrics, run.logs, columns
        # Rows that a run wrote after the checkpoint from which it goes on are dropped.
        rows = [row for row in self._rows() if int(row["step"]) <= first_step]
        self._replace(rows)
        with self._tensorboard():
            self._writer = tf.summary.create_file_writer(str(run.logs))

    def _rows(self) -> list[dict[str, str]]:
        return _whole_rows(self._path, self._columns)

    def _replace(self, rows: Iterable[Mapping[str, object]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, restval="nan")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self._path, text.getvalue())

    def complete(self, step: int, **measures: float) -> None:
        """Fill in measures that the row of a step lacks, if there is such a row."""
        rows: list[dict[str, object]] = [dict(row) for row in self._rows()]
        for row in rows:
            if row["step"] == str(step):
                row.update({name: x for name, x in measures.items() if row[name] == "nan"})
        self._replace(rows)

    def write(self, row: Mapping[str, float]) -> None:
        """Add a row of all columns: means since the last one, nan where there is none.

        Raises WriteError if there is no room for it.
        """
        text = io.StringIO(newline="")
        csv.DictWriter(text, self._columns).writerow(row)
        try:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                file.write(text.getvalue())
        except OSError as error:
            raise write_error(self._path, error) from error
        with self._tensorboard(), self._writer.as_default(step=int(row["step"])):
            for name, value in row.items():
                if name != "step" and not np.isnan(value):
                    tf.summary.scalar(name, value)
            self._writer.flush()

    def picture(self, image: np.ndarray, step: int) -> None:
        """Show a picture uint8 [H, W, 1] or [H, W, 3] in TensorBoard."""
        with self._tensorboard(), self._writer.as_default(step=step):
            tf.summary.image("samples", image[None])
            self._writer.flush()

    @contextlib.contextmanager
    def _tensorboard(self) -> Iterator[None]:
        """Turn TensorFlow's errors about the file for TensorBoard into WriteError."""
        try:
            yield
        except tf.errors.OpError as error:
            raise write_error(self._logs, error) from error


def _whole_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The whole rows of a metrics.csv; a file that was changed by others is set aside first.

    The last row may be cut, since a process may have died while it wrote.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except ValueError:
        lines = []
    header = lines[0].split(",") if lines else []
    known = "step" in header and set(header) <= set(columns)
    cells = [line.split(",") for line in lines[1:] if line] if known else []
    rows = [dict(zip(header, row, strict=True)) for row in cells if _is_whole(row, header)]
    if not (known and all(_is_whole(row, header) for row in cells[:-1])):
        aside = set_aside(path)
        kept = f"{len(rows)} whole rows of it are kept"
        logger.warning("%s was damaged; it is now %s, and %s", path, aside.name, kept)
    return rows


def _is_whole(row: list[str], header: list[str]) -> bool:
    """Whether a row has a step, and a number in each of its columns."""
    try:
        numbers = [float(cell) for cell in row]
    except ValueError:
        return False
    return len(numbers) == len(header) and row[header.index("step")].isdecimal()


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
