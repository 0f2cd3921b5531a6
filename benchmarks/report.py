"""Writes the figures and tables of docs/report.md, from a bundle and its training data.

    python benchmarks/report.py --bundle=flowers.bundle --data_dir=DATA --run_dir=run

The bundle needs the graph `denoiser` and classes. The pictures are docs/images/report-*.png; the
tables go between the marks of docs/report.md.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from absl import app, flags
from flowers import flowers
from held_out import velocity_error
from measures import Measure, measures, with_error
from nearest import nearest
from numpy.typing import NDArray
from report_model import Model, Pictures, Way, levels
from report_page import DOCS, save_rows, write_table
from report_runs import Run, draw

from diffkiln.runtime.engine.slerp import slerp
from diffkiln.trainer.maths.schedules import make_schedule

FLAGS = flags.FLAGS
flags.DEFINE_string("bundle", None, "folder that diffkiln-export wrote", required=True)
flags.DEFINE_string("data_dir", None, "folder of the prepared oxford_flowers102", required=True)
flags.DEFINE_list("run_dir", [], "runs whose learning curves are drawn, by name")
flags.DEFINE_list("average_run_dir", [], "runs to draw with and without the average of weights")
flags.DEFINE_list("prediction_run_dir", [], "runs that differ only in their prediction")
flags.DEFINE_bool("imagenet", False, "measure KID by a network for ImageNet too")
flags.DEFINE_list("parts", None, "make only these parts; by default all that the flags allow")
flags.DEFINE_integer("images", 512, "samples that each KID is measured on", lower_bound=4)
flags.DEFINE_integer("ancestral_images", 64, "samples of 1,000 ancestral steps", lower_bound=4)

STEPS = (1, 2, 5, 10, 20, 50)
SOLVERS = ("ddim", "dpmpp_2m")
GUIDANCES = (1.0, 1.5, 3.0, 5.0)
ETAS = (0.0, 0.5, 1.0)
SHOWN = np.arange(8)
# How the bundled sampler's solver draws without tables.
TWENTY = Way(20, "dpmpp_2m", guidance=2.0, time_grid="linspace")


def photographs(split: str) -> tuple[Pictures, NDArray[np.int64]]:
    return flowers(split, FLAGS.data_dir)


def validation() -> tuple[list[Measure], NDArray[np.int64]]:
    """What measures distances to the validation pictures, and the classes of these."""
    pictures, classes = photographs("validation")
    return measures(pictures, imagenet=FLAGS.imagenet), classes


def by_networks(ways: Sequence[Measure]) -> str:
    """The heads of columns of KID."""
    return " | ".join(f"KID by {measure.features.name}" for measure in ways)


def distances_to(ways: Sequence[Measure], drawn: Pictures) -> str:
    """Columns of KID with its standard error."""
    return " | ".join(with_error(measure(drawn)) for measure in ways)


def spread(values: NDArray, count: int) -> NDArray:
    """`count` of the values, at equal distances."""
    return values[np.linspace(0, len(values) - 1, count).round().astype(int)]


def noised(model: Model) -> None:
    """One picture at six times under three schedules."""
    picture = model.draw(Way(guidance=2.0), SHOWN[3:4], SHOWN[3:4] + 50).pictures[0]
    image = model.reference.normalised(picture / 255)
    noise = model.noise(np.array([7]))[0]
    rows = []
    for name in ("cosine", "ddpm_cosine", "ddpm_linear"):
        schedule = make_schedule(name, 0.95, 0.02)
        times = np.linspace(0, 1, 6, dtype=np.float32)
        rates = [tuple(map(float, schedule.rates(time))) for time in times]
        noisy = np.stack([signal * image + sigma * noise for signal, sigma in rates])
        rows.append(levels(model.reference.pixels(noisy)))
    save_rows("noising", rows)


def compared_ways(model: Model) -> None:
    """The same seeds by steps, by solver, by guidance and by η."""
    seeds, labels = SHOWN, SHOWN * 12 + 5
    for solver in SOLVERS:
        ways = [Way(steps, solver, guidance=2.0) for steps in STEPS]
        save_rows(f"steps-{solver}", [model.draw(way, seeds, labels).pictures for way in ways])
    ways = [Way(guidance=guidance) for guidance in GUIDANCES]
    save_rows("guidance", [model.draw(way, seeds, labels).pictures for way in ways])
    ways = [Way(eta=eta, guidance=2.0) for eta in ETAS]
    save_rows("eta", [model.draw(way, seeds, labels).pictures for way in ways])


def moved(model: Model) -> None:
    """The denoising of three pictures, and two interpolations between seeds."""
    seeds, labels = SHOWN[:3], np.array([53, 73, 88])
    sampler = model.sampler(Way(guidance=2.0), labels)
    frames = levels(sampler.trajectory(model.noise(seeds), 20, 2, seeds.tolist()))
    save_rows("trajectory", list(frames.swapaxes(0, 1)))
    ways = []
    for start, end, label in ((0, 1, 53), (2, 3, 88)):
        a, b = model.noise(np.array([start, end]))
        noise = slerp(a, b, np.linspace(0, 1, 10))
        sampler = model.sampler(Way(guidance=2.0), np.full(10, label))
        ways.append(levels(sampler.from_noise(noise, 20)))
    save_rows("interpolation", ways)


def measured(model: Model) -> Iterator[str]:
    """A table of KID for each way, by samples of the classes of the validation pictures."""
    measured_by, classes = validation()
    networks = " and ".join(str(measure.features) for measure in measured_by)
    yield f"KID by the features of {networks}, on {FLAGS.images} samples."
    yield ""
    yield f"| way | {by_networks(measured_by)} | evaluations | seconds |"
    yield "| --- " * (3 + len(measured_by)) + "|"
    ways = [
        *(Way(steps, solver) for solver in SOLVERS for steps in STEPS),
        *(
            Way(steps, solver, guidance=guidance, time_grid="linspace")
            for guidance in (1.0, 1.5, 2.0)
            for steps, solver in ((20, "ddim"), (10, "dpmpp_2m"), (20, "dpmpp_2m"))
        ),
        *(Way(guidance=guidance) for guidance in (1.5, 2.0, *GUIDANCES[2:])),
        *(Way(eta=eta) for eta in ETAS[1:]),
        *(Way(steps, solver, classes=False) for steps, solver in ((20, "ddim"), (10, "dpmpp_2m"))),
        Way(1000, eta=1.0),
    ]
    for way in ways:
        count = FLAGS.ancestral_images if way.steps == 1000 else FLAGS.images
        drawn = model.draw(way, np.arange(count), spread(classes, count))
        distance = distances_to(measured_by, drawn.pictures)
        row = f"| {way} | {distance} | {way.evaluations} | {drawn.seconds:.2f} |"
        print(row, flush=True)
        yield row


def of_runs(model: Model) -> Iterator[str]:
    """A table of KID of runs by their prediction and by their weights; with pictures of each."""
    measured_by, classes = validation()
    labels = spread(classes, FLAGS.images)
    noise = model.noise(np.arange(FLAGS.images))
    predictions = [Run(Path(folder)) for folder in FLAGS.prediction_run_dir]
    averages = [Run(Path(folder)) for folder in FLAGS.average_run_dir]
    compared = {
        "prediction": [
            (f"{run.step:,} steps, {run.schedule}, predicts {run.prediction}", run.averaged)
            for run in predictions
        ],
        "average": [
            (f"{run.step:,} steps, {name}", denoiser)
            for run in averages
            for name, denoiser in (
                ("the last step's weights", run.as_trained),
                ("averaged weights", run.averaged),
            )
        ],
    }
    yield f"| run | {by_networks(measured_by)} |"
    yield "| --- " * (1 + len(measured_by)) + "|"
    for name, denoisers in compared.items():
        shown = []
        for described, denoiser in denoisers:
            pictures = draw(denoiser, noise, labels)
            shown.append(pictures[SHOWN])
            row = f"| {described} | {distances_to(measured_by, pictures)} |"
            print(row, flush=True)
            yield row
        if shown:
            save_rows(name, shown)


def copied(model: Model) -> Iterator[str]:
    """How far samples are from the training pictures, and how far held-out photographs are."""
    training = np.concatenate([photographs("train")[0], photographs("test")[0]])
    held_out, labels = (spread(each, FLAGS.images) for each in photographs("validation"))
    drawn = model.draw(TWENTY, np.arange(FLAGS.images), labels).pictures
    yield from nearest({f"{TWENTY}": drawn, "held-out photographs": held_out}, training)


def learning_curves(runs: Sequence[Path]) -> Iterator[str]:
    """Error of v on photographs by images seen: a figure, and a table of the end of each run.

    Each run goes on from the one before. An earlier version measured each run under its own noise.
    So each curve is moved to end at the error of its weights under the same noise for all.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    held_out = photographs("validation")
    trained = [spread(each, len(held_out[0])) for each in photographs("train+test")]
    yield "| run | images seen | error held out | on as many trained on |"
    yield "| --- | --- | --- | --- |"
    figure, axes = pyplot.subplots(figsize=(7, 3.5), layout="constrained")
    before = 0
    for path in runs:
        run = Run(path)
        with (path / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) <= run.step]
        images = [before + int(row["images"]) for row in rows]
        losses = np.array([float(row["eval_loss"]) for row in rows])
        error = velocity_error(run.averaged, *held_out)
        axes.plot(images, losses - losses[-1] + error, label=path.name)
        on_trained = velocity_error(run.averaged, *trained)
        before += run.step * run.batch_size
        yield f"| {path.name} | {before:,} | {error:.4f} | {on_trained:.4f} |"
    axes.set(xlabel="images seen", ylabel="held-out error of v", ylim=(0.17, 0.25))
    axes.legend()
    figure.savefig(DOCS / "images/report-curves.png", dpi=110)


PARTS: dict[str, Callable[[Model], None]] = {
    "noising": noised,
    "ways": compared_ways,
    "moved": moved,
    "curves": lambda _: write_table(
        "curves", list(learning_curves([Path(run) for run in FLAGS.run_dir]))
    ),
    "runs": lambda model: write_table("runs", list(of_runs(model))),
    "nearest": lambda model: write_table("nearest", list(copied(model))),
    "kid": lambda model: write_table("kid", list(measured(model))),
}


def main(_: list[str]) -> None:
    runs = [*FLAGS.average_run_dir, *FLAGS.prediction_run_dir]
    lacking = {"curves": not FLAGS.run_dir, "runs": not runs}
    parts = FLAGS.parts or [part for part in PARTS if not lacking.get(part)]
    if unknown := set(parts) - set(PARTS):
        raise app.UsageError(f"--parts={','.join(unknown)}: expected of {', '.join(PARTS)}")
    model = Model(Path(FLAGS.bundle))
    for part in parts:
        PARTS[part](model)


if __name__ == "__main__":
    app.run(main)
