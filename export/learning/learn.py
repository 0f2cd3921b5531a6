"""Learns tables for a model: has the teacher draw, learns count by count, and judges each table."""

import json
import logging
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ...trainer.errors import InputError
from ...trainer.maths.tables import Table, Tables
from ...trainer.run.atomic import replacing
from ..graphs.graph import Call
from ..options import Learning
from .file import TableFile
from .learner import Examples, Learner
from .parameters import plain_table, stretched
from .teacher import Advance, Group, Subject, distance

TEACHER_STEPS = 80
# Pictures of the teacher: to learn from, to judge by, and to judge the teacher by, per guidance.
TRAINING, HELD_OUT, CHECKED = 256, 80, 8
BATCH = 20
# Apart from each other, and from the seeds that people draw.
_TRAINING_SEEDS, _HELD_OUT_SEEDS = 2**62, 2**62 + 2**61
_SAVE_EVERY = 5
# Where the pictures lie in the range of guidance.
_SHARES = (0, 1 / 6, 1 / 3, 2 / 3, 1)
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
    guidance = None if subject.num_classes is None else [*settings.guidance]
    if file.judged and file.guidance != guidance:
        problem = f"has tables for guidance {file.guidance}, expected {guidance}"
        raise InputError(f"tables={path}: {problem}; learn into another file")
    counts = [steps for steps in settings.steps if str(steps) not in file.judged]
    if not counts:
        return
    folder = path.with_name(f"{path.name}.part")
    _begin(folder, {"subject": file.subject, **asdict(settings)})
    interval_s = 0.5 if sys.stderr.isatty() else 30
    with tqdm(desc="Learning", unit="eval", unit_scale=True, mininterval=interval_s) as bar:
        course = Course(subject, settings, folder, bar.update, fixed_times=fixed_times)
        bar.total = course.evaluations(counts)
        file.guidance, file.teacher = guidance, course.teacher()
        for steps in counts:
            table = course.learned(steps, file.tables)
            file.judged[str(steps)] = judged = course.judged(table)
            if better := all(np.less(judged["table"], judged["solver"])):
                file.by_steps |= Tables({steps: table}).to_json()["by_steps"]
            file.write(path)
            bar.clear()
            _LOG.info(_in_words(steps, judged, better=better))
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
        self.guidance = None if subject.num_classes is None else settings.guidance
        self.training = self._groups(_TRAINING_SEEDS, TRAINING)
        self.held_out = self._groups(_HELD_OUT_SEEDS, HELD_OUT)
        self._teacher = subject.sampler(solver="dpmpp_2m", time_grid="linspace")
        self._solver = subject.sampler()

    def evaluations(self, counts: list[int]) -> int:
        """About how many evaluations of the network it takes to learn these counts of steps."""
        teaching = sum(g.evaluations(TEACHER_STEPS) for g in (*self.training, *self.held_out))
        checking = sum(g.part(CHECKED).evaluations(2 * TEACHER_STEPS) for g in self.held_out)
        return teaching + checking + self._settings.iterations * sum(map(self._cost, counts))

    def teacher(self) -> dict[str, Any]:
        """The teacher's steps, and how far twice as many are from them at each guidance."""

        def error(group: Group, pictures: np.ndarray) -> float:
            twice = group.part(CHECKED).pictures(self._teacher, 2 * TEACHER_STEPS, self._advance)
            return distance(twice, pictures[:CHECKED])

        file = self._folder / "teacher.json"
        if not file.exists():
            errors = [error(*each) for each in self._lessons("held-out", self.held_out)]
            with replacing(file) as part:
                part.write_text(json.dumps({"steps": TEACHER_STEPS, "distances": errors}))
        return json.loads(file.read_text())

    def learned(self, steps: int, known: Tables | None) -> Table:
        """A table for a count of steps, learned from the nearest known one or the plain solver."""
        denoiser, iterations = self._subject.denoiser, self._settings.iterations
        if known is None:
            start = plain_table(denoiser.schedule, steps)
        else:
            nearest = min(known.counts, key=lambda count: abs(count - steps))
            start = stretched(known.by_steps[nearest], steps)
        learner = Learner(denoiser, start, iterations, fixed_times=self._fixed_times)
        file, done = self._folder / f"{steps}.npz", 0
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
        lessons = self._lessons("held-out", self.held_out)

        def distances(sampler: Call) -> list[float]:
            return [distance(g.pictures(sampler, steps), wanted) for g, wanted in lessons]

        return {
            "guidances": [group.guidance for group in self.held_out],
            "table": distances(self._subject.sampler(Tables({steps: table}, self.guidance))),
            "solver": distances(self._solver),
        }

    def _groups(self, first: int, count: int) -> list[Group]:
        guidances: list[float | None] = [None]
        if self.guidance is not None:
            low, high = self.guidance
            guidances = [*sorted({round(low + share * (high - low), 6) for share in _SHARES})]
        each = count // len(guidances)
        return [Group(self._subject, first + i * each, each, g) for i, g in enumerate(guidances)]

    def _cost(self, steps: int) -> int:
        """The evaluations that an iteration is worth."""
        return BATCH * steps * _COST_OF_GRADIENT * (1 if self.guidance is None else 2)

    def _batches(self) -> Iterator[np.ndarray]:
        """Rows of examples for each iteration: in turns all, with as many of each guidance."""
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
        lessons, weights = self._lessons("training", self.training), []
        for group, pictures in lessons:
            plain = group.part(CHECKED).pictures(self._solver, steps)
            weights.append(max(distance(plain, pictures[:CHECKED]), 1e-3) ** -2)
        counts = [group.count for group in self.training]
        examples = Examples(
            np.concatenate([group.noise for group in self.training]),
            np.concatenate([pictures for _, pictures in lessons]),
            np.repeat(np.array(weights, np.float32), counts),
        )
        if self.guidance is None:
            return examples
        asked = np.array([group.guidance for group in self.training], np.float32)
        labels = np.concatenate([group.labels for group in self.training])
        return examples._replace(labels=labels, guidance=np.repeat(asked, counts))

    def _lessons(self, name: str, groups: list[Group]) -> list[tuple[Group, np.ndarray]]:
        """Groups with what the teacher draws, or drew for an earlier process."""
        return [(group, self._taught(f"{name}-{i}", group)) for i, group in enumerate(groups)]

    def _taught(self, name: str, group: Group) -> np.ndarray:
        if name not in self._drawn:
            file = self._folder / f"{name}.npy"
            if file.exists():
                self._advance(group.evaluations(TEACHER_STEPS))
            else:
                pictures = group.pictures(self._teacher, TEACHER_STEPS, self._advance)
                with replacing(file) as part, part.open("wb") as stream:
                    np.save(stream, pictures)
            self._drawn[name] = np.load(file)
        return self._drawn[name]

    @cached_property
    def _drawn(self) -> dict[str, np.ndarray]:
        return {}


def _begin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder, empty unless it was begun with the same settings."""
    file, content = folder / "settings.json", json.dumps(settings)
    if not file.exists() or file.read_text() != content:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        file.write_text(content)


def _in_words(steps: int, judged: Mapping[str, list[Any]], *, better: bool) -> str:
    ways = [
        ("" if guidance is None else f"at guidance {guidance:g} ") + f"{table:.1f} ({solver:.1f})"
        for guidance, table, solver in zip(*judged.values(), strict=True)
    ]
    dropped = "" if better else "; it is not better everywhere, so it is left out"
    return (
        f"{steps} steps with a table (and without) are this far from {TEACHER_STEPS} of "
        f"DPM-Solver++(2M), root mean square in levels of 255: {', '.join(ways)}{dropped}"
    )
