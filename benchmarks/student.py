"""Measures a student beside its teacher: distance, KID, precision, recall, by steps and guidance.

    python benchmarks/student.py --student=student.bundle --teacher=flowers.bundle --data_dir=DATA

Each way draws the seeds 0, 1, … with the species of the held-out photographs. Distances are to the
teacher's pictures in its own default steps, root mean square in levels of 255.
"""

from pathlib import Path

import numpy as np
from absl import app, flags
from flowers import flowers
from measures import Measure, Pictures, measures, with_error
from numpy.typing import NDArray

from diffkiln.runtime import Sampler
from diffkiln.trainer.quality.kid import kid
from diffkiln.trainer.quality.precision_recall import precision_recall

FLAGS = flags.FLAGS
flags.DEFINE_string("student", None, "bundle of a student", required=True)
flags.DEFINE_string("teacher", None, "bundle of its teacher", required=True)
flags.DEFINE_string("data_dir", None, "folder of the prepared oxford_flowers102", required=True)
flags.DEFINE_list("steps", ["2", "3", "4", "6"], "counts of steps of the student")
flags.DEFINE_list("guidances", ["1", "1.5", "2"], "guidances of both")
flags.DEFINE_integer("count", None, "pictures to draw; by default one for each photograph")
flags.DEFINE_bool("imagenet", False, "measure by the features of a network for ImageNet too")


def distance(pictures: Pictures, wanted: Pictures) -> float:
    """The mean over pictures of root mean square differences, in levels of 255."""
    squares = np.square(pictures.astype(np.float32) - wanted).mean(axis=(1, 2, 3))
    return float(np.sqrt(squares).mean())


def row(name: str, pictures: Pictures, wanted: Pictures, by: list[Measure]) -> str:
    """One line of the table."""
    cells = [f"{name:32}{distance(pictures, wanted):9.2f}"]
    for measure in by:
        features = measure.features(pictures)
        shares = precision_recall(features, measure.reference)
        distances = with_error(kid(features, measure.reference))
        cells.append(f"{distances:>18}{shares.precision:8.3f}{shares.recall:8.3f}")
    return "".join(cells)


def compare(
    student: Sampler, teacher: Sampler, photographs: Pictures, labels: NDArray[np.int64]
) -> None:
    """Print a row for the teacher and one for each count of steps, at each guidance."""
    by, species = measures(photographs, imagenet=FLAGS.imagenet), labels.tolist()
    columns = "".join(f"{'KID':>18}{'prec.':>8}{'recall':>8}" for _ in by)
    print(f"by {'; by '.join(str(each.features) for each in by)}")
    print(f"{'':32}{'distance':>9}{columns}")
    for guidance in map(float, FLAGS.guidances):
        wanted = teacher.sample(len(labels), labels=species, guidance=guidance)
        steps = teacher.bundle.default_steps_at(guidance)
        print(row(f"teacher, {steps} steps, {guidance:g}", wanted, wanted, by), flush=True)
        for count in map(int, FLAGS.steps):
            drawn = student.sample(len(labels), labels=species, steps=count, guidance=guidance)
            print(row(f"student, {count} steps, {guidance:g}", drawn, wanted, by), flush=True)


def main(_: list[str]) -> None:
    photographs, labels = flowers("validation", FLAGS.data_dir)
    photographs, labels = photographs[: FLAGS.count], labels[: FLAGS.count]
    with Sampler(Path(FLAGS.student)) as student, Sampler(Path(FLAGS.teacher)) as teacher:
        compare(student, teacher, photographs, labels)


if __name__ == "__main__":
    app.run(main)
