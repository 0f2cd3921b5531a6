"""Students: what they learn, that they go on exactly, and what is refused."""

import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import MadeOnce
from forked_commands import run_command
from PIL import Image
from train_flags import Refusal
from training_runs import rows, same_weights, small_config, train_here, weights

from diffkiln.export.run import export_run
from diffkiln.export.verify import verify_bundle
from diffkiln.runtime import Sampler
from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.describe import describe
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.guidance import Conditioning
from diffkiln.trainer.maths.plain_tables import plain_table
from diffkiln.trainer.presets import student_config
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.teacher import read_teacher
from diffkiln.trainer.training.distiller import Distiller, _lesson_number, table_for
from diffkiln.trainer.training.train import train

pytestmark = pytest.mark.slow

QUICK: dict[str, Any] = {
    "teacher_steps": 4,
    "student_steps": (2, 3),
    "batch_size": 8,
    "train_steps": 6,
    "warm_up_steps": 1,
    "log_every_steps": 2,
    "preview_every_steps": 3,
    "checkpoint_every_steps": 3,
    "ema_half_life_images": 10,
    "learning_rate_decay": "constant",
}


# A student on two devices of one machine.
MIRRORED = """
import json, sys
from pathlib import Path
import tensorflow as tf
from diffkiln.trainer.presets import student_config
from diffkiln.trainer.run.teacher import read_teacher
from diffkiln.trainer.training.train import train
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
folder, settings = sys.argv[1], json.loads(sys.argv[2])
settings["student_steps"] = tuple(settings["student_steps"])
teacher = read_teacher(Path(settings["distill_from"])).config
train(Path(folder), student_config(teacher, distribute="mirrored", **settings))
"""


@pytest.fixture(scope="session")
def class_run(made_once: MadeOnce) -> Path:
    """A teacher with classes, to be read."""
    settings: dict[str, Any] = {"num_classes": 10, "train_steps": 60}
    return made_once("class.run", lambda path: train_here(path, **settings))


def distil(run_dir: Path, teacher: Path, **settings: Any) -> None:
    with warnings.catch_warnings():
        # Keras's own, which the tests would turn into errors.
        warnings.simplefilter("ignore", DeprecationWarning)
        train(run_dir, of(teacher, **settings))


def of(teacher: Path, **settings: Any) -> TrainConfig:
    own = read_teacher(teacher).config
    return student_config(own, distill_from=str(teacher), **{**QUICK, **settings})


@pytest.fixture(scope="module")
def student_run(made_once: MadeOnce, class_run: Path) -> Path:
    """A student of six steps, to be read."""
    return made_once("student.run", lambda path: distil(path, class_run))


@pytest.fixture(scope="module")
def student(class_run: Path) -> Distiller:
    """A student before its first step, to be read."""
    return Distiller(of(class_run), read_teacher(class_run))


def test_a_student_goes_on_to_the_same_weights_and_rows(
    tmp_path: Path, student_run: Path, class_run: Path
) -> None:
    for steps in (3, 6):
        distil(tmp_path, class_run, train_steps=steps)
    same_weights(student_run, tmp_path)
    names = ("step", "eval_loss", "distance_2", "distance_3")
    once, twice = (
        [[row[name] for name in names] for row in rows(run)] for run in (student_run, tmp_path)
    )
    assert once == twice
    assert [row[0] for row in once if row[2] != "nan"] == ["3", "6"]


def test_its_network_takes_the_guidance_and_begins_as_the_teacher(student: Distiller) -> None:
    assert [each.name for each in student.network.inputs] == ["noisy", "time", "labels", "guidance"]
    noise, conditioning = student._held_out()
    assert conditioning is not None
    labels, guidance = conditioning.labels, conditioning.guidance
    assert labels is not None
    nothing = -tf.ones_like(labels)
    time = tf.fill([len(noise)], 0.6)
    # Without guidance, and where there is nothing to guide to.
    for each in (Conditioning(labels, tf.constant(1.0)), Conditioning(nothing, guidance)):
        begun, _ = student.denoiser(noise, time, each)
        unguided = Conditioning(each.labels, tf.constant(1.0))
        taught, _ = student._teacher.denoiser(noise, time, unguided)
        np.testing.assert_allclose(begun, taught, atol=1e-5)


def test_guidance_acts_from_the_start(student: Distiller) -> None:
    noise, conditioning = student._held_out()
    assert conditioning is not None
    unguided = Conditioning(conditioning.labels, tf.constant(1.0))
    time = tf.fill([len(noise)], 0.6)
    taught, _ = student._teacher.denoiser(noise, time, conditioning)
    begun, without = (student.denoiser(noise, time, x)[0] for x in (conditioning, unguided))
    assert tf.norm(begun - taught) < tf.norm(without - taught)


def test_guidance_of_each_image_is_that_image_under_it(student: Distiller) -> None:
    noise, conditioning = student._held_out()
    assert conditioning is not None
    labels, guidance = conditioning.labels, conditioning.guidance
    assert labels is not None
    assert guidance is not None
    together = student._taught(noise, conditioning)[0]
    for row in (0, 5):
        one = Conditioning(labels[row : row + 1], guidance[row])
        alone = student._taught(noise[row : row + 1], one)[0]
        # Sums of a batch in another order, through four steps.
        np.testing.assert_allclose(together[row : row + 1], alone, atol=1e-4)


def test_a_student_comes_nearer_to_its_teacher(tmp_path: Path, class_run: Path) -> None:
    settings = {"train_steps": 60, "log_every_steps": 10, "preview_every_steps": 10}
    distil(tmp_path, class_run, learning_rate=1e-3, ema_half_life_images=40, **settings)
    first, *_, last = rows(tmp_path)
    for name in ("eval_loss", "distance_2", "distance_3"):
        # Half of what a run gains; 60 steps gained 6 % for the slowest.
        assert float(last[name]) < 0.97 * float(first[name])


def test_a_model_without_classes_learns_steps_alone(tmp_path: Path, small_run: Path) -> None:
    distil(tmp_path, small_run, train_steps=2)
    student = Distiller(of(small_run), read_teacher(small_run))
    assert [each.name for each in student.network.inputs] == ["noisy", "time"]
    assert student.config.guidance_range is None
    assert float(rows(tmp_path)[-1]["distance_2"]) > 0


def test_parts_and_precision(class_run: Path) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"accumulation_steps": 2},
        {"precision": "mixed_bfloat16"},
    ]
    losses = []
    for each in settings:
        student = Distiller(of(class_run, **each), read_teacher(class_run))
        student.train(*next(student.batches(student.data().train, first_step=0, shard=(0, 1))))
        losses.append(student.metrics.take()["loss"])
    whole, in_parts, in_half = losses
    assert in_parts == pytest.approx(whole, rel=1e-4)  # sums in another order
    assert in_half == pytest.approx(whole, rel=0.1)  # numbers of three digits


# Halves of a batch are added up in another order.
def test_two_devices_have_the_losses_of_one(tmp_path: Path, class_run: Path) -> None:
    settings = {**QUICK, "distill_from": str(class_run)}
    arguments = (tmp_path / "both", json.dumps(settings))
    result = run_command([sys.executable, "-c", MIRRORED, *arguments])
    assert result.returncode == 0, result.stderr
    distil(tmp_path / "one", class_run)
    for ours, theirs in zip(rows(tmp_path / "both"), rows(tmp_path / "one"), strict=True):
        for name in ("loss", "eval_loss", "gradient_norm", "distance_3"):
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=1e-3, nan_ok=True)


def test_workers_share_the_batches_of_the_teacher(student: Distiller) -> None:
    def first(shard: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
        return next(student.batches(student.data().train, first_step=21, shard=shard))

    for both, left, right in zip(first((0, 1)), first((0, 2)), first((1, 2)), strict=True):
        # Sums of a batch in another order, through four steps.
        np.testing.assert_allclose(both, tf.concat([left, right], 0), atol=1e-4)


def test_every_batch_of_the_teacher_is_used_in_four_steps() -> None:
    numbers = [_lesson_number(step) for step in range(128)]
    assert numbers[:17] == [*range(16), 0]
    assert sorted(numbers) == [number for number in range(32) for _ in range(4)]
    assert set(numbers[64:]) == set(range(16, 32))


def test_a_student_begins_with_the_weights_of_another(
    tmp_path: Path, student_run: Path, class_run: Path
) -> None:
    config = of(class_run, train_steps=2, init_from=str(student_run), learning_rate=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        train(tmp_path, config)
    begun, given = weights(tmp_path), weights(student_run)
    for name, values in given.items():
        np.testing.assert_allclose(begun[name], values, atol=1e-7)


def test_the_export_draws_with_its_steps(
    tmp_path: Path, student_run: Path, student: Distiller
) -> None:
    bundle = tmp_path / "student.bundle"
    export_run(student_run, bundle, graphs=("sampler", "denoiser", "noise", "step"))
    verify_bundle(bundle)
    with Sampler(bundle, device="cpu") as sampler:
        # It has learned none of at least four steps.
        assert (sampler.bundle.default_steps, sampler.bundle.guidance_range) == (3, (1.0, 4.0))
        drawn = sampler.sample(4, steps=3, guidance=2.5)
    assert RunDirectory(student_run).read_tables() == student.tables.to_json()
    assert drawn.shape == (4, 16, 16, 3)
    with pytest.raises(InputError, match="a student draws with the tables that it was distilled"):
        export_run(student_run, tmp_path / "other", tables="tables.json")


def test_a_preview_has_a_row_for_the_teacher_and_each_count(student_run: Path) -> None:
    with Image.open(student_run / "samples" / "step-0000006.png") as grid:
        assert grid.size == (8 * 16, 3 * 16)


def test_a_bundle_teaches_what_its_run_does(
    tmp_path: Path, class_run: Path, student: Distiller
) -> None:
    bundle = tmp_path / "class.bundle"
    export_run(class_run, bundle, graphs=("sampler",))
    first, second = (x.data() for x in (student, Distiller(of(bundle), read_teacher(bundle))))
    assert first.fingerprint == second.fingerprint
    everything = np.arange(len(first.held_out))
    assert (first.held_out.take(everything) == second.held_out.take(everything)).all()


def test_the_lineage_names_the_teacher(student_run: Path, class_run: Path) -> None:
    (earlier,) = RunDirectory(student_run).read_earlier()
    config, data = RunDirectory(class_run).read_config()
    assert earlier["settings"]["num_classes"] == config.num_classes
    assert RunDirectory(student_run).read_config()[1].pixel_mean == data.pixel_mean


def test_the_description(tmp_path: Path, class_run: Path) -> None:
    text = describe(tmp_path / "new", of(class_run))
    assert f"seeds alone: in 2, 3 steps what {class_run} draws at guidance 1 to 4" in text
    assert f"would begin, with the weights of {class_run}" in text


def test_tables_come_from_the_teachers(student: Distiller) -> None:
    schedule, learned = student.denoiser.schedule, student.tables
    assert table_for(3, learned, schedule) is learned.by_steps[3]
    assert len(table_for(7, learned, schedule).times) == 7
    assert table_for(7, None, schedule) == plain_table(schedule, 7)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--preset=tiny",), "preset=tiny: a student has the network of its teacher; leave it out"),
        (("--widths=8",), "widths=(8,): a student has its teacher's, and reads no pictures"),
        (("--data=synthetic",), "data=synthetic: a student has its"),
        (("--student_steps=3,2",), "student_steps=3,2: expected counts of steps from 2 to 20, in"),
        (("--student_steps=1,4",), "student_steps=1: expected a whole number from 2 to 20"),
        (("--student_steps=a",), "student_steps=a: expected numbers, such as 2,3,4"),
        (("--teacher_steps=21",), "teacher_steps=21: expected a whole number from 2 to 20"),
        (("--guidance_range=2,3",), "guidance_range=2,3: expected the least guidance, from 0 to 1"),
        (("--kid_every_steps=5",), "kid_every_steps=5: a student has its teacher's, and reads no"),
        (("--dropout=0.1",), "dropout=0.1: a student has its teacher's"),
    ],
)
def test_flags_that_a_student_has_not(
    refusal: Refusal,
    tmp_path: Path,
    class_run: Path,
    flags: tuple[str, ...],
    message: str,
) -> None:
    given = (f"--run_dir={tmp_path / 'run'}", f"--distill_from={class_run}", *flags)
    assert message in refusal(*given)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--student_steps=2,4",),
            "student_steps=(2, 4): only a student has it; give distill_from",
        ),
        (("--teacher_steps=4",), "teacher_steps=4: only a student has it"),
        (("--guidance_range=1,2",), "guidance_range=(1.0, 2.0): only a student has it"),
        (("--data=seeds",), "data=seeds: expected tfds:NAME"),
        (("--distill_from=nowhere",), "nowhere: no such folder"),
    ],
)
def test_flags_that_only_a_student_has(
    refusal: Refusal,
    tmp_path: Path,
    flags: tuple[str, ...],
    message: str,
) -> None:
    assert message in refusal(f"--run_dir={tmp_path / 'run'}", *flags)


def test_teachers_that_cannot_be(
    student_run: Path, full_bundle: Path, arrays_bundle: Path, autoencoder_run: Path
) -> None:
    with pytest.raises(InputError, match="draws arrays, and only networks that draw pictures"):
        read_teacher(arrays_bundle)
    with pytest.raises(InputError, match="its task is autoencoder, and only networks that draw"):
        of(autoencoder_run)
    with pytest.raises(InputError, match="is a student itself; give its teacher"):
        read_teacher(student_run)
    with pytest.raises(InputError, match="is not of a run of diffkiln-train"):
        read_teacher(full_bundle)
    enlarging = replace(small_config(task="super_resolution", factor=4), label_dropout=0.1)
    with pytest.raises(InputError, match="its task is super_resolution, and only networks that"):
        student_config(enlarging, distill_from="run")


def test_a_student_of_another_teacher_is_another_run(tmp_path: Path, class_run: Path) -> None:
    distil(tmp_path / "student", class_run, train_steps=2)
    other = tmp_path / "teacher"
    train_here(other, num_classes=10, train_steps=1)
    with pytest.raises(InputError, match="was trained on other data"):
        distil(tmp_path / "student", other, train_steps=2)
