"""Writes what docs/report.md says of learned tables: distances, KID and pictures of a few steps.

    python benchmarks/few_steps.py --bundle=flowers.bundle --data_dir=DATA --cells=cells

The bundle needs tables and the graph `denoiser`. Pictures of every way to draw are kept in the
folder `cells`, 64 at a time, so that the same command goes on after it was stopped.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from absl import app, flags
from flowers import flowers
from measures import Measure, measures, with_error
from numpy.typing import NDArray
from report_model import Model, Pictures, Way
from report_page import require_marks, save_rows, write_table

from diffkiln.runtime.output.atomic import atomic

FLAGS = flags.FLAGS
flags.DEFINE_string("bundle", None, "folder that diffkiln-export wrote", required=True)
flags.DEFINE_string("data_dir", None, "folder of the prepared oxford_flowers102", required=True)
flags.DEFINE_string("cells", None, "folder to keep pictures in", required=True)
flags.DEFINE_bool("draw", True, "draw what is missing, instead of leaving it out of the tables")
flags.DEFINE_string("section", "few steps", "the marks in docs/report.md to write between")
flags.DEFINE_list(
    "kid_guidances", ["1.5", "2"], "guidances to measure KID at, of a model with classes"
)

STEPS = (3, 4, 5, 6, 8, 10)
GUIDANCES = (1.0, 1.5, 2.0, 3.0)
TEACHER_STEPS = 80
DISTANCES, SAMPLES, TOGETHER = 256, 1020, 64
KID_WAYS = (("learned", 5), ("learned", 8), *(("2m", steps) for steps in (5, 10, 20, 80)))
SHOWN = (("learned", 5), ("2m", 5), ("2m", 20), ("2m", 80))
UNKNOWN = "–"
NAMES = {"learned": "learned", "2m": "DPM-Solver++(2M)", "ddim": "DDIM"}


@dataclass(frozen=True)
class Cells:
    """Pictures of the seeds 0, 1, … and the species of the validation pictures, in turns."""

    model: Model
    labels: NDArray[np.int64]
    folder: Path

    def pictures(self, name: str, steps: int, guidance: float, count: int) -> Pictures:
        """The first `count` pictures drawn one way, uint8 [count, H, W, C]."""
        tables = f"-{self._fingerprint}" if name == "learned" else ""
        file = self.folder / f"{self.model.name}-{name}{tables}-{steps}-{guidance:g}.npy"
        drawn = np.load(file) if file.exists() else np.empty((0, *self.model.shape), np.uint8)
        if len(drawn) < count and not FLAGS.draw:
            raise LookupError(f"{file}: not drawn yet")
        while len(drawn) < count:
            seeds = np.arange(len(drawn), min(len(drawn) + TOGETHER, count))
            way = self._way(name, steps, guidance)
            more = self.model.draw(way, seeds, self.labels[seeds]).pictures
            drawn = np.concatenate([drawn, more])
            with atomic(file) as part, part.open("wb") as stream:
                np.save(stream, drawn)
            print(f"{file.name}: {len(drawn)} of {count}", flush=True)
        return drawn[:count]

    def distance(self, name: str, steps: int, guidance: float) -> str:
        """How far the pictures are from the teacher's, root mean square in levels of 255."""
        try:
            teacher = self.pictures("2m", TEACHER_STEPS, guidance, DISTANCES)
            pictures = self.pictures(name, steps, guidance, DISTANCES)
        except LookupError:
            return UNKNOWN
        return f"{np.sqrt(np.mean((pictures.astype(np.float64) - teacher) ** 2)):.1f}"

    def kid(self, measure: Measure, name: str, steps: int, guidance: float) -> str:
        """KID of the pictures with its standard error."""
        try:
            return with_error(measure(self.pictures(name, steps, guidance, SAMPLES)))
        except LookupError:
            return UNKNOWN

    @property
    def _fingerprint(self) -> str:
        tables = json.dumps(self.model.reference.tables, sort_keys=True)
        return hashlib.sha256(tables.encode()).hexdigest()[:8]

    def _way(self, name: str, steps: int, guidance: float) -> Way:
        solver, grid = ("ddim", "linear") if name == "ddim" else ("dpmpp_2m", "linspace")
        learned = name == "learned"
        return Way(steps, solver, guidance=guidance, time_grid=grid, learned=learned)


def distances(cells: Cells, guidances: tuple[float, ...]) -> Iterator[str]:
    """A table of distances to the teacher by way, steps and guidance."""
    heads = " | ".join(f"guidance {each:g}" for each in guidances)
    yield f"| steps | way | {heads} |" if len(guidances) > 1 else "| steps | way | distance |"
    yield "| --- " * (2 + len(guidances)) + "|"
    known = cells.model.reference.tables or {"by_steps": {}}
    ways = [(name, steps) for steps in STEPS for name in NAMES]
    for name, steps in [*ways, *(("2m", steps) for steps in (15, 20))]:
        if name != "learned" or str(steps) in known["by_steps"]:
            row = [cells.distance(name, steps, guidance) for guidance in guidances]
            if set(row) != {UNKNOWN}:
                yield f"| {steps} | {NAMES[name]} | {' | '.join(row)} |"


def kids(cells: Cells, photographs: Pictures, guidances: tuple[float, ...]) -> Iterator[str]:
    """A table of KID by the features of both networks."""
    ways = measures(photographs, imagenet=True)
    known = (cells.model.reference.tables or {"by_steps": {}})["by_steps"]
    drawn_ways = [way for way in KID_WAYS if way[0] != "learned" or str(way[1]) in known]
    heads = [f"{m.features.name}, guidance {each:g}" for each in guidances for m in ways]
    yield f"| way | {' | '.join(heads)} |"
    yield "| --- " * (1 + len(heads)) + "|"
    for name, steps in drawn_ways:
        row = [cells.kid(measure, name, steps, each) for each in guidances for measure in ways]
        if set(row) != {UNKNOWN}:
            yield f"| {NAMES[name]}, {steps} steps | {' | '.join(row)} |"


def main(_: list[str]) -> None:
    require_marks(FLAGS.section)
    model, folder = Model(Path(FLAGS.bundle)), Path(FLAGS.cells)
    photographs, labels = flowers("validation", FLAGS.data_dir, model.shape[0])
    folder.mkdir(exist_ok=True)
    cells = Cells(model, labels, folder)
    guided = bool(model.class_names)
    lines = list(distances(cells, GUIDANCES if guided else (1.0,)))
    asked = tuple(map(float, FLAGS.kid_guidances)) if guided else (1.0,)
    lines += ["", *kids(cells, photographs, asked)]
    print("\n".join(lines))
    write_table(FLAGS.section, lines)
    rows = [cells.pictures(*way, 2.0 if guided else 1.0, 10) for way in SHOWN]
    save_rows(FLAGS.section.replace(" ", "-"), rows)


if __name__ == "__main__":
    app.run(main)
