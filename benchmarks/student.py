"""Writes what docs/report.md says of a student: it and its teacher by steps and guidance.

    python benchmarks/student.py --student=student.bundle --teacher=teacher.bundle --data_dir=DATA

Each way draws the seeds 0, 1, … with the species of the held-out photographs. The teacher's bundle
needs tables for `--teacher_steps`; distances are to its pictures in the first of these counts, root
mean square in levels of 255. Milliseconds are for one picture in batches of eight, in turns. Then
64 flowers as `diffkiln-sample` draws them, and how far the student's pictures are from training's.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from absl import app, flags
from flowers import flowers
from measures import Measure, Pictures, measures, with_error
from measuring import in_turns
from nearest import nearest
from numpy.typing import NDArray
from report_page import DOCS, require_marks, save_rows, write_table

from diffkiln.runtime import Sampler
from diffkiln.runtime.output.images import grid, save_picture
from diffkiln.trainer.quality.kid import kid
from diffkiln.trainer.quality.precision_recall import precision_recall

FLAGS = flags.FLAGS
flags.DEFINE_string("student", None, "bundle of a student", required=True)
flags.DEFINE_string("teacher", None, "bundle of its teacher", required=True)
flags.DEFINE_string("data_dir", None, "folder of the prepared oxford_flowers102", required=True)
flags.DEFINE_list("steps", ["6", "4", "3", "2", "1"], "counts of steps of the student")
flags.DEFINE_list("teacher_steps", ["8"], "counts of steps of the teacher")
flags.DEFINE_list("guidances", ["1.5", "2"], "guidances of both")
flags.DEFINE_integer("count", None, "pictures to draw; by default one for each photograph")
flags.DEFINE_bool("imagenet", False, "measure by the features of a network for ImageNet too")

SHOWN, BATCH, ROUNDS = 10, 8, 7


@dataclass(frozen=True)
class Way:
    """One of the two bundles in a count of steps."""

    name: str
    sampler: Sampler
    steps: int

    def draw(self, labels: NDArray[np.int64], guidance: float) -> Pictures:
        """Pictures of the seeds 0, 1, …, one for each label."""
        return self.sampler.sample(
            len(labels), labels=labels.tolist(), steps=self.steps, guidance=guidance
        )

    def evaluations(self, guidance: float) -> int:
        """Evaluations of the network for one picture."""
        twice = guidance != 1 and not self.sampler.bundle.takes_guidance
        return self.steps * (2 if twice else 1)


def distance(pictures: Pictures, wanted: Pictures) -> float:
    """The mean over pictures of root mean square differences, in levels of 255."""
    squares = np.square(pictures.astype(np.float32) - wanted).mean(axis=(1, 2, 3))
    return float(np.sqrt(squares).mean())


def by_features(pictures: Pictures, measure: Measure) -> list[str]:
    """KID, precision and recall, by the features of one network."""
    features = measure.features(pictures)
    shares = precision_recall(features, measure.reference)
    distances = with_error(kid(features, measure.reference))
    return [distances, f"{shares.precision:.2f}", f"{shares.recall:.2f}"]


def milliseconds(ways: list[Way], guidance: float) -> list[float]:
    """The time of a picture each way."""
    labels = np.arange(BATCH)
    tasks = {str(number): partial(way.draw, labels, guidance) for number, way in enumerate(ways)}
    times = in_turns(tasks, rounds=ROUNDS, pause_s=0.05).values()
    return [1000 * float(np.median(each)) / BATCH for each in times]


def table(ways: list[Way], by: list[Measure], labels: NDArray[np.int64]) -> list[str]:
    """The lines of a table: each way at each guidance; pictures of the last one are saved."""
    columns = [f"{name}, {each.features}" for each in by for name in ("KID", "precision", "recall")]
    heads = ["guidance", "way", "evaluations", "ms", "distance", *columns]
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for guidance in map(float, FLAGS.guidances):
        drawn = [way.draw(labels, guidance) for way in ways]
        times = milliseconds(ways, guidance)
        for way, pictures, ms in zip(ways, drawn, times, strict=True):
            cells = [f"{guidance:g}", way.name, str(way.evaluations(guidance)), f"{ms:.0f}"]
            cells.append(f"{distance(pictures, drawn[0]):.1f}")
            cells += [cell for measure in by for cell in by_features(pictures, measure)]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
        save_rows("student", [pictures[:SHOWN] for pictures in drawn])
    return lines


def main(_: list[str]) -> None:
    for name in ("student", "student nearest"):
        require_marks(name)
    photographs, labels = flowers("validation", FLAGS.data_dir)
    photographs, labels = photographs[: FLAGS.count], labels[: FLAGS.count]
    by = measures(photographs, imagenet=FLAGS.imagenet)
    with Sampler(Path(FLAGS.student)) as student, Sampler(Path(FLAGS.teacher)) as teacher:
        ways = [Way(f"teacher, {n} steps", teacher, int(n)) for n in FLAGS.teacher_steps]
        counts = [(int(n), "step" if n == "1" else "steps") for n in FLAGS.steps]
        ways += [Way(f"student, {n} {unit}", student, n) for n, unit in counts]
        write_table("student", table(ways, by, labels))
        save_picture(DOCS / "images/flowers.png", grid(student.sample(64)))
        drawn = {"student": student.sample(len(labels), labels=labels.tolist())}
    training = flowers("train+test", FLAGS.data_dir)[0]
    write_table("student nearest", list(nearest(drawn, training)))


if __name__ == "__main__":
    app.run(main)
