"""Training for a task: what a run leaves behind, that it goes on exactly, and what it refuses."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY, Command, MadeOnce
from pictures import save_pictures, synthetic_flowers
from PIL import Image
from training_runs import rows, same_weights, small_config, train_here, weights

from diffkiln.trainer.describe import describe
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.run.directory import DataSummary
from diffkiln.trainer.run.weights import load_network
from diffkiln.trainer.training.step import Trainer

pytestmark = pytest.mark.slow

ENLARGING: dict[str, Any] = {"task": "super_resolution", "factor": 4}
PAINTING: dict[str, Any] = {"task": "inpainting", "num_classes": 10}
EVERY: dict[str, Any] = {"log_every_steps": 2, "preview_every_steps": 3}
DATA = DataSummary("", 8, 0, (0.45, 0.4, 0.3), (0.3, 0.25, 0.28), tuple("abcdefghij"))
both_tasks = pytest.mark.parametrize("task", [ENLARGING, PAINTING], ids=["enlarge", "paint"])


@pytest.fixture(scope="module")
def enlarging_run(made_once: MadeOnce) -> Path:
    """A run of six steps, to be read."""
    return made_once(
        "enlarging.run", lambda path: train_here(path, train_steps=6, **EVERY, **ENLARGING)
    )


def test_a_run_goes_on_to_the_same_weights_and_rows(tmp_path: Path, enlarging_run: Path) -> None:
    for steps in (3, 6):
        train_here(tmp_path, train_steps=steps, **EVERY, **ENLARGING)
    same_weights(enlarging_run, tmp_path)
    measured = ("step", "eval_loss", "psnr_db", "ssim")
    once, twice = (
        [[row[name] for name in measured] for row in rows(x)] for x in (enlarging_run, tmp_path)
    )
    assert once == twice
    assert [row[0] for row in once] == ["2", "3", "4", "6"]
    # Held-out pictures are restored whenever there is a preview.
    assert [row[0] for row in once if row[2] != "nan"] == ["3", "6"]


def test_a_preview_has_three_columns_of_pictures_twice(enlarging_run: Path) -> None:
    with Image.open(enlarging_run / "samples" / "step-0000006.png") as grid:
        assert grid.size == (6 * 16, 8 * 16)


def test_the_saved_network_takes_the_conditions(enlarging_run: Path) -> None:
    network = load_network(enlarging_run / "ema.weights.h5", small_config(**ENLARGING).network)
    names = [each.name for each in network.inputs]
    assert names == ["noisy", "time", "low_resolution", "augmentation"]


def test_pictures_become_more_like_the_originals(tmp_path: Path) -> None:
    settings = {"preview_every_steps": 60, "log_every_steps": 60, "learning_rate": 4e-3}
    train_here(tmp_path, train_steps=120, **settings, **ENLARGING)
    first, last = (float(row["psnr_db"]) for row in rows(tmp_path))
    # Twice the steps take off far more than another noise would.
    assert last > first + 0.5


def test_painting_trains_and_kid_measures_what_it_paints(tmp_path: Path) -> None:
    settings = {"kid_every_steps": 1, "kid_images": 12, "train_steps": 1}
    train_here(tmp_path, **settings, **PAINTING)
    (row,) = rows(tmp_path)
    assert all(float(row[name]) > 0 for name in ("loss", "eval_loss", "kid", "psnr_db", "ssim"))


@both_tasks
def test_parts_add_up_to_the_batch(task: dict[str, Any]) -> None:
    images = tf.constant(synthetic_flowers(8, image_size=16))
    labels = tf.constant([0, 1, 2, -1, 0, 1, 2, 2], tf.int64)
    losses = []
    for parts in (1, 4):
        keras.utils.set_random_seed(0)
        trainer = Trainer(small_config(accumulation_steps=parts, **task), DATA)
        for _ in range(3):
            trainer.train(images, labels)
        losses.append(trainer.metrics.take()["loss"])
    # Sums of float32 in another order.
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {**ENLARGING, "jit_compile": True},
        {**PAINTING, "jit_compile": True},
        {**ENLARGING, "precision": "mixed_float16", "channels": 1},
    ],
    ids=["enlarge-xla", "paint-xla", "enlarge-float16-grey"],
)
def test_other_settings_train(tmp_path: Path, settings: dict[str, Any]) -> None:
    train_here(tmp_path, train_steps=2, log_every_steps=1, widths=(8,), **settings)
    assert all(0 < float(row["loss"]) < 10 for row in rows(tmp_path))


def test_without_held_out_pictures_previews_show_those_of_training(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 10, size=16)
    data = f"folder:{tmp_path / 'photos'}"
    train_here(tmp_path / "r", train_steps=1, data=data, **ENLARGING)
    assert rows(tmp_path / "r")[0]["psnr_db"] == "nan"
    with Image.open(tmp_path / "r" / "samples" / "step-0000001.png") as grid:
        assert grid.size == (6 * 16, 8 * 16)


def test_weights_of_another_factor_are_a_beginning(tmp_path: Path, enlarging_run: Path) -> None:
    begun = {"init_from": str(enlarging_run), "train_steps": 1, "learning_rate": 1e-9}
    train_here(tmp_path, **begun, **{**ENLARGING, "factor": 2})
    for name, values in weights(enlarging_run).items():
        # One step at a learning rate that moves nothing by more.
        np.testing.assert_allclose(weights(tmp_path)[name], values, atol=1e-7)


class TestRefusals:
    """Before anything is written."""

    def test_weights_of_another_task(self, tmp_path: Path, enlarging_run: Path) -> None:
        expected = "its task is super_resolution, expected inpainting; give"
        with pytest.raises(InputError, match=expected):
            train_here(tmp_path / "r", init_from=str(enlarging_run), task="inpainting")
        assert not (tmp_path / "r").exists()

    def test_another_factor(self, enlarging_run: Path) -> None:
        with pytest.raises(InputError, match=r"run of other settings \(factor: 4, not 2\)"):
            train_here(enlarging_run, train_steps=9, **EVERY, **{**ENLARGING, "factor": 2})


def test_describe_tells_the_task_and_what_its_network_is_given(tmp_path: Path) -> None:
    text = describe(tmp_path / "r", small_config(**ENLARGING))
    assert (
        "task      super_resolution, 4×4 to 16×16; the network is given "
        "low_resolution float32 [N, 4, 4, 3], augmentation float32 [N]\n"
    ) in text
    assert "task  " not in describe(tmp_path / "r", small_config())


def test_the_command_enlarges(command: Command, tmp_path: Path) -> None:
    flags = (*TINY, "--task=super_resolution", "--factor=4", "--train_steps=1")
    result = command("diffkiln-train", f"--run_dir={tmp_path / 'r'}", *flags)
    assert result.returncode == 0, result.stderr
    assert "64 images of 16×16 for super_resolution (8 held out)" in result.stdout
