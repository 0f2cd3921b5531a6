"""Learns tables: draws the teacher's pictures, fits each table, and compares it with the solver."""

import json
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ...runtime.limits import MAX_GUIDANCE
from ...trainer.errors import InputError
from ...trainer.maths.plain_tables import plain_table, stretched
from ...trainer.maths.tables import Table, Tables
from ...trainer.run.atomic import replacing
from ..graphs.graph import Call
from ..options import Learning
from .file import TableFile
from .learner import Examples, Learner
from .teacher import Advance, Group, Subject, Teacher, distance

# The teacher's pictures, spread over the range of guidance: to learn from, and to judge by.
TRAINING, HELD_OUT = 256, 80
BATCH = 20
# How many pictures of each guidance say what the solver's error is.
CHECKED = 8
DEFAULT_GUIDANCE = (1.0, 4.0)
# Apart from each other, and from the seeds that people draw.
_TRAINING_SEEDS, _HELD_OUT_SEEDS = 2**62, 2**62 + 2**61
_SAVE_EVERY = 5
# Where the pictures lie in the range of guidance.
_SHARES = (1 / 6, 1 / 3, 2 / 3)
# An evaluation with its gradient costs about as much as four without.
_COST_OF_GRADIENT = 4

_LOG = logging.getLogger("diffkiln.export")


def learn_tables(
    subject: Subject, settings: Learning, file: TableFile, path: Path, *, fixed_times: bool = False
) -> None:
    """Add to `file` what it lacks of the counts in `settings`, and write it to `path` after each.

    A table is left out unless it is better than the solver at every guidance. What has begun lies
    in a folder beside `path`, from which the next process goes on if this one is stopped. Raises
    InputError if the tables in `file` are for another range of guidance.
    """
    guidance = _guidance(subject, settings)
    if file.judged and file.guidance != (guidance and [*guidance]):
        problem = f"has tables for guidance {file.guidance}, expected {guidance}"
        raise InputError(f"tables={path}: {problem}; learn into another file")
    if settings.steps[-1] > (most := subject.denoiser.schedule.max_steps // 2):
        raise InputError(
            f"learn_steps={settings.steps[-1]}: expected at most {most}: half of the "
            "steps of the schedule"
        )
    if known := [steps for steps in settings.steps if str(steps) in file.judged]:
        _LOG.info(
            "%s: keeps what it has of %s steps; learn into another file for new ones",
            path,
            ", ".join(map(str, known)),
        )
    counts = [steps for steps in settings.steps if steps not in known]
    if not counts:
        return
    folder = path.with_name(f"{path.name}.part")
    _begin(folder, [file.subject, guidance, subject.signatures.sampling.time_grid, TRAINING])
    interval_s = 0.5 if sys.stderr.isatty() else 30
    with tqdm(desc="Learning", unit="eval", unit_scale=True, mininterval=interval_s) as bar:
        course = Course(subject, settings, folder, bar.update, fixed_times=fixed_times)
        bar.total = course.evaluations(counts)
        file.guidance, file.teacher = guidance and [*guidance], course.teacher_error()
        for steps in counts:
            judged, by_steps = course.table(steps, file.tables)
            file.judged[str(steps)] = judged
            file.by_steps |= by_steps
            file.write(path)
            bar.clear()
            unit = "255ths of a deviation" if subject.denoiser.arrays else "levels of 255"
            _LOG.info(_in_words(steps, judged, unit, left_out=not by_steps))
    shutil.rmtree(folder)


class Course:
    """The learning of one model's tables, by `training` and `held_out` groups of pictures.

    `folder` keeps what is done.
    """

    def __init__(
        self,
        subject: Subject,
        settings: Learning,
        folder: Path,
        advance: Advance,
        *,
        fixed_times: bool,
    ) -> None:
        self._subject, self._settings, self._folder = subject, settings, folder
        self._advance, self._fixed_times = advance, fixed_times
        self.guidance = _guidance(subject, settings)
        self.training = self._groups(_TRAINING_SEEDS, TRAINING)
        self.held_out = self._groups(_HELD_OUT_SEEDS, HELD_OUT)
        self._teacher = Teacher(subject, folder, advance)
        self._solver = subject.sampler()

    def evaluations(self, counts: list[int]) -> int:
        """About how many evaluations of the network it takes to learn these step counts."""
        steps = self._teacher.steps
        teaching = sum(g.evaluations(steps) for g in (*self.training, *self.held_out))
        checking = sum(g.part(CHECKED).evaluations(2 * steps) for g in self.held_out)
        return teaching + checking + self._settings.iterations * sum(map(self._cost, counts))

    def teacher_error(self) -> dict[str, Any]:
        """The teacher's steps, and its distance to twice as many at each guidance."""
        return {
            "steps": self._teacher.steps,
            "distances": [self._teacher.error(group, CHECKED) for group in self.held_out],
        }

    def table(
        self, steps: int, known: Tables | None
    ) -> tuple[dict[str, list[Any]], dict[str, Any]]:
        """How a learned table does beside the solver, and the table where it is always better."""
        try:
            table = self.learned(steps, known)
        except InputError as error:
            _LOG.info("%d steps: %s", steps, error)
            return {}, {}
        judged = self.judged(table)
        better = all(np.less(judged["table"], judged["solver"]))
        return judged, Tables({steps: table}).to_json()["by_steps"] if better else {}

    def learned(self, steps: int, known: Tables | None) -> Table:
        """A table of a step count, learned from the nearest known one or from the plain solver."""
        denoiser, iterations = self._subject.denoiser, self._settings.iterations
        start = plain = plain_table(denoiser.schedule, steps)
        if known is not None:
            nearest = min(known.counts, key=lambda count: abs(count - steps))
            start = stretched(known.by_steps[nearest], steps)
        if self._fixed_times:
            start = replace(start, times=plain.times, network_times=plain.times)
        learner = Learner(denoiser, start, iterations, fixed_times=self._fixed_times)
        file, done = self._folder / f"{steps}-{iterations}-{self._settings.seed}.npz", 0
        if file.exists():
            with np.load(file) as state:
                done = int(state["done"])
                learner.restore([state[f"arr_{index}"] for index in range(len(state) - 1)])
        examples = self._examples(steps)
        for iteration, rows in enumerate(self._batches(), 1):
            if iteration > done:
                learner.improve(examples.some(rows))
                if iteration % _SAVE_EVERY == 0:
                    with replacing(file) as part, part.open("wb") as stream:
                        np.savez(stream, *learner.state(), done=iteration)
            self._advance(self._cost(steps))
        return learner.table()

    def judged(self, table: Table) -> dict[str, list[Any]]:
        """How far held-out pictures are from the teacher's at each guidance, both ways."""
        steps = len(table.times)
        pairs = [(group, self._teacher.pictures(group)) for group in self.held_out]

        def distances(sampler: Call) -> list[float]:
            return [distance(g.pictures(sampler, steps), wanted) for g, wanted in pairs]

        return {
            "guidances": [group.guidance for group in self.held_out],
            "table": distances(self._subject.sampler(Tables({steps: table}, self.guidance))),
            "solver": distances(self._solver),
        }

    def _groups(self, first: int, count: int) -> list[Group]:
        guidances: list[float | None] = [None]
        if self.guidance is not None:
            low, high = self.guidance
            inner = {low + share * (high - low) for share in _SHARES}
            guidances = [*sorted({low, high, *inner})]
        each = count // len(guidances)
        return [Group(self._subject, first + i * each, each, g) for i, g in enumerate(guidances)]

    def _cost(self, steps: int) -> int:
        """The evaluations that an iteration is worth."""
        once = self.guidance is None or self._subject.denoiser.guidance_range is not None
        return BATCH * steps * _COST_OF_GRADIENT * (1 if once else 2)

    def _batches(self) -> Iterator[np.ndarray]:
        """Shuffled rows of examples for each iteration, equally many of each guidance."""
        rng, groups = np.random.default_rng(self._settings.seed), range(len(self.training))
        each, size = self.training[0].count, BATCH // len(self.training)
        orders = [np.empty(0, np.int64)] * len(groups)
        for _ in range(self._settings.iterations):
            if len(orders[0]) < size:
                orders = [rng.permutation(each) + index * each for index in groups]
            yield np.concatenate([order[:size] for order in orders])
            orders = [order[size:] for order in orders]

    def _examples(self, steps: int) -> Examples:
        """All examples; an error counts by what the solver's is at the same guidance."""
        taught, weights = [*map(self._teacher.pictures, self.training)], []
        for group, pictures in zip(self.training, taught, strict=True):
            plain = group.part(CHECKED).pictures(self._solver, steps)
            weights.append(max(distance(plain, pictures[:CHECKED]), 1e-3) ** -2)
        counts = [group.count for group in self.training]
        examples = Examples(
            np.concatenate([group.noise for group in self.training]),
            np.concatenate(taught),
            np.repeat(np.array(weights, np.float32), counts),
        )
        if self.guidance is None:
            return examples
        asked = np.array([group.guidance for group in self.training], np.float32)
        labels = np.concatenate([group.labels for group in self.training])
        return examples._replace(labels=labels, guidance=np.repeat(asked, counts))


def _guidance(subject: Subject, settings: Learning) -> tuple[float, float] | None:
    """The range of guidance, None for a model without classes; InputError for one of these."""
    if subject.num_classes is None:
        if settings.guidance is not None:
            raise InputError("learn_guidance: the model knows no classes; leave it out")
        return None
    least, most = subject.denoiser.guidance_range or (0.0, MAX_GUIDANCE)
    if settings.guidance is None:
        return max(DEFAULT_GUIDANCE[0], least), min(DEFAULT_GUIDANCE[1], most)
    low, high = settings.guidance
    if not least <= low <= high <= most:
        expected = f"expected two numbers from {least:g} to {most:g}, which the network is for"
        raise InputError(f"learn_guidance={low:g},{high:g}: {expected}")
    return low, high


def _begin(folder: Path, key: Any) -> None:
    """Make the folder, empty unless it was begun for the same pictures."""
    file, content = folder / "key.json", json.dumps(key)
    if file.exists() and file.read_text() == content:
        return
    if file.exists():
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    file.write_text(content)


def _in_words(steps: int, judged: Mapping[str, list[Any]], unit: str, *, left_out: bool) -> str:
    ways = [
        ("" if guidance is None else f"at guidance {guidance:.3g} ") + f"{table:.1f} ({solver:.1f})"
        for guidance, table, solver in zip(*judged.values(), strict=True)
    ]
    remark = "; left out, since it is not better everywhere" if left_out else ""
    return (
        f"{steps} steps with a table (and without) are this far from the teacher's, root mean "
        f"square in {unit}: {', '.join(ways)}{remark}"
    )
