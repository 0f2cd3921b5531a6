"""Training: progress, resuming, and what a run refuses."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from PIL import Image
from training_runs import (
    SAVED,
    STEPS,
    refused,
    rows,
    same_weights,
    small_config,
    train,
    train_here,
)

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.run.directory import RunDirectory

pytestmark = pytest.mark.slow


def test_a_run_leaves_what_the_contract_says(tiny_run: Path) -> None:
    config = json.loads((tiny_run / "config.json").read_text())
    assert config["schema_version"] == 1
    assert config["settings"]["image_size"] == 16
    assert len(config["data"]["pixel_mean"]) == len(config["data"]["pixel_std"]) == 3
    assert list((tiny_run / "logs").glob("events.*"))
    assert {path.name for path in tiny_run.iterdir()} == {
        *("config.json", "checkpoints", "samples", "logs", "metrics.csv"),
        *("ema.weights.h5", "best.weights.h5", "best.json"),
    }
    with Image.open(tiny_run / "samples" / "step-0000040.png") as grid:
        assert grid.size == (64, 64)


def test_loss_falls_and_is_written_down(tmp_path: Path) -> None:
    train_here(tmp_path / "r", train_steps=60, log_every_steps=20)
    losses = [float(row["loss"]) for row in rows(tmp_path / "r")]
    assert len(losses) == 3
    # Predicting nothing has a loss near 1; sixty steps take off far more than noise could.
    assert losses[-1] < 0.8 * losses[0]


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path, small_run: Path) -> None:
    run_dir = shutil.copytree(small_run, tmp_path / "r")
    train_here(run_dir, train_steps=STEPS, **SAVED)
    same_weights(run_dir, small_run)
    assert rows(run_dir) == rows(small_run)


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    tmp_path: Path,
    small_run: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_dir = shutil.copytree(small_run, tmp_path / "r")
    (data,) = (run_dir / "checkpoints").glob(f"step-{STEPS}.data*")
    data.write_bytes(data.read_bytes()[:1000])
    with caplog.at_level(logging.WARNING, "diffkiln.trainer"):
        train_here(run_dir, train_steps=STEPS, **SAVED)
    assert f"on from step {STEPS - 2}" in capsys.readouterr().out
    assert f"step-{STEPS}" in caplog.text
    same_weights(run_dir, small_run)


@pytest.mark.parametrize(
    "settings",
    [
        {"prediction": "noise", "schedule": "ddpm_linear", "precision": "mixed_float16"},
        {"prediction": "image", "schedule": "ddpm_cosine", "precision": "mixed_bfloat16"},
        {"jit_compile": True, "widths": (8,), "dropout": 0.1},
    ],
    ids=str,
)
def test_other_settings_train(tmp_path: Path, settings: dict[str, Any]) -> None:
    train_here(tmp_path / "r", train_steps=2, log_every_steps=1, **settings)
    assert len(rows(tmp_path / "r")) == 2
    assert all(0 < float(row["loss"]) < 10 for row in rows(tmp_path / "r"))


def test_oxford_flowers_train(command: Command, tmp_path: Path, flowers_dir: Path) -> None:
    splits = ("--split=train[:50]", "--eval_split=validation[:20]")
    arguments = ("--data=tfds:oxford_flowers102", f"--data_dir={flowers_dir}", "--train_steps=1")
    result = train(command, tmp_path / "r", *arguments, *splits, "--widths=8")
    assert result.returncode == 0, result.stderr
    assert "50 images of 16×16 (20 held out)" in result.stdout


class TestRefusals:
    """Of what a run directory holds, before anything in it is touched."""

    def test_other_settings(self, small_run: Path) -> None:
        with pytest.raises(InputError, match=r"run of other settings \(seed: 0, not 5\)"):
            train_here(small_run, seed=5, train_steps=50, **SAVED)

    def test_another_end_of_a_cosine(self, tmp_path: Path, small_run: Path) -> None:
        settings = {"learning_rate_decay": "cosine", "warm_up_steps": 1}
        run = RunDirectory(tmp_path)
        run.write_config(
            small_config(train_steps=2, **settings), RunDirectory(small_run).read_config()[1]
        )
        with pytest.raises(InputError, match=r"run of other settings \(train_steps: 2, not 4\)"):
            train_here(tmp_path, train_steps=4, **settings)

    def test_other_data(self, tmp_path: Path, small_run: Path) -> None:
        run_dir = shutil.copytree(small_run, tmp_path / "r")
        text = (run_dir / "config.json").read_text()
        fingerprint = json.loads(text)["data"]["fingerprint"]
        (run_dir / "config.json").write_text(text.replace(fingerprint, "0" * 64))
        with pytest.raises(InputError, match="was trained on other data"):
            train_here(run_dir, train_steps=50, **SAVED)

    def test_missing_checkpoints(self, tmp_path: Path, small_run: Path) -> None:
        run_dir = shutil.copytree(small_run, tmp_path / "r")
        shutil.rmtree(run_dir / "checkpoints")
        weights = (run_dir / "ema.weights.h5").read_bytes()
        with pytest.raises(InputError, match=r"holds no checkpoint.* choose another --run_dir"):
            train_here(run_dir, train_steps=50, **SAVED)
        assert (run_dir / "ema.weights.h5").read_bytes() == weights

    def test_fewer_steps_than_it_has(self, small_run: Path) -> None:
        with pytest.raises(InputError, match=f"train_steps=6: the run is at step {STEPS} already"):
            train_here(small_run, train_steps=6, **SAVED)

    def test_a_checkpoint_of_another_shape(self, tmp_path: Path, small_run: Path) -> None:
        run_dir = shutil.copytree(small_run, tmp_path / "r")
        text = (run_dir / "config.json").read_text()
        settings = json.loads(text)
        settings["settings"]["widths"] = [8]
        (run_dir / "config.json").write_text(json.dumps(settings))
        words = rf"cannot be resumed: .*step-{STEPS}.* choose another --run_dir"
        with pytest.raises(InputError, match=words):
            train_here(run_dir, train_steps=50, widths=(8,), **SAVED)

    def test_resume_never(self, small_run: Path) -> None:
        with pytest.raises(InputError, match="holds a run already"):
            train_here(small_run, resume="never")

    def test_resume_must(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="nothing to resume"):
            train_here(tmp_path / "r", resume="must")
        assert not (tmp_path / "r").exists()

    def test_a_foreign_folder_in_one_line(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("keep me")
        refused(train(command, tmp_path), 1, "is not a run of diffkiln-train")
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    @pytest.mark.parametrize(
        ("argument", "status", "words"),
        [
            ("--preset=nope", 2, ("--preset=nope", "tiny|flowers64")),
            ("--learning_rate=-1", 2, ("--learning_rate=-1.0: expected a number in (0, 1]",)),
            ("--dropout=1", 2, ("--dropout=1.0: expected a number in [0, 1)",)),
            ("--dropout=some", 2, ("--dropout=some: expected a number",)),
            ("--batch_size=many", 2, ("--batch_size=many: expected a whole number",)),
            ("--run_dir=a[1]", 2, ("--run_dir=a[1]: expected a path without any of",)),
            ("--train_steps=0", 2, ("--train_steps=0: expected a whole number from 1",)),
            ("--precision=float17", 2, ("--precision=float17", "mixed_bfloat16")),
            ("--widths=8,x", 2, ("--widths=x: expected a whole number",)),
            ("--colour=red", 2, ("--colour: no such flag",)),
            ("stray", 2, ("stray: expected only flags",)),
            ("--data=pictures", 2, ("--data=pictures: expected tfds:NAME, folder:PATH",)),
            ("--data=tfds:no_such_dataset", 1, ("tfds:no_such_dataset: not a known",)),
            ("--data=tfds:oxford_flower102", 1, ("did you mean tfds:oxford_flowers102?",)),
            ("--data=folder:/no/such/folder", 1, ("/no/such/folder",)),
        ],
    )
    def test_flags(
        self, command: Command, tmp_path: Path, argument: str, status: int, words: tuple[str, ...]
    ) -> None:
        result = command("diffkiln-train", f"--run_dir={tmp_path / 'r'}", argument)
        refused(result, status, *words)
        assert not (tmp_path / "r").exists()

    def test_a_data_set_that_is_not_prepared(self, command: Command, tmp_path: Path) -> None:
        arguments = ("--data=tfds:mnist", f"--data_dir={tmp_path / 'none'}")
        result = train(command, tmp_path / "r", *arguments)
        refused(result, 1, "tfds:mnist: not prepared under", "--download")
        assert not list(tmp_path.iterdir())

    def test_a_split_that_is_not_there(
        self, command: Command, tmp_path: Path, flowers_dir: Path
    ) -> None:
        arguments = ("--data=tfds:oxford_flowers102", f"--data_dir={flowers_dir}", "--split=spring")
        result = train(command, tmp_path / "r", *arguments)
        refused(result, 1, "split=spring: not a split", "train, validation, test")

    def test_no_run_dir(self, command: Command) -> None:
        refused(command("diffkiln-train"), 2, "--run_dir: missing")
