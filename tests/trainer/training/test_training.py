"""Training as real processes: progress, resuming, and what a run refuses."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Command
from PIL import Image
from training_runs import rows, train, weights


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


def test_loss_falls_and_is_written_down(command: Command, tmp_path: Path) -> None:
    result = train(command, tmp_path / "r", "--train_steps=60", "--log_every_steps=20")
    losses = [float(row["loss"]) for row in rows(tmp_path / "r")]
    assert result.returncode == 0, result.stderr
    assert len(losses) == 3
    # Predicting nothing has a loss near 1; sixty steps take off far more than noise could.
    assert losses[-1] < 0.8 * losses[0]


def test_a_run_in_two_parts_ends_in_the_same_weights(command: Command, tmp_path: Path) -> None:
    whole = train(command, tmp_path / "whole", "--train_steps=8", "--log_every_steps=4")
    part = train(command, tmp_path / "parts", "--train_steps=3", "--log_every_steps=2")
    rest = train(command, tmp_path / "parts", "--train_steps=8", "--log_every_steps=4")
    assert [whole.returncode, part.returncode, rest.returncode] == [0, 0, 0], rest.stderr
    assert "on from step 3" in rest.stdout
    once, twice = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert once.keys() == twice.keys()
    for name, values in once.items():
        np.testing.assert_array_equal(values, twice[name], err_msg=name)


def test_rows_after_the_checkpoint_are_written_once(command: Command, tmp_path: Path) -> None:
    assert train(command, tmp_path / "r", "--train_steps=4", "--log_every_steps=2").returncode == 0
    with (tmp_path / "r" / "metrics.csv").open("a") as file:
        file.write("6,48,9,9,9,9\n8,6")  # as if the process had died past its checkpoint
    assert train(command, tmp_path / "r", "--train_steps=6", "--log_every_steps=2").returncode == 0
    assert [row["step"] for row in rows(tmp_path / "r")] == ["2", "4", "6"]


def test_a_finished_run_has_nothing_left_to_do(
    command: Command, tiny_run: Path, tmp_path: Path
) -> None:
    run_dir = shutil.copytree(tiny_run, tmp_path / "r")
    result = train(command, run_dir, "--train_steps=40")
    assert result.returncode == 0, result.stderr
    weights = [(folder / "ema.weights.h5").read_bytes() for folder in (run_dir, tiny_run)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_with_a_checkpoint_to_go_on_from(
    command: Command, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    program = Path(sys.executable).with_name("diffkiln-train")
    run_dir = tmp_path / "r"
    arguments = (f"--run_dir={run_dir}", *TINY, "--train_steps=100000", "--log_every_steps=1")
    process = subprocess.Popen([program, *arguments], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (run_dir.exists() and rows(run_dir)):
        time.sleep(0.1)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == status
    stopped = re.search(f"Stopped by {number.name} at step ([1-9][0-9,]*);", output)
    assert stopped, output
    step = int(stopped[1].replace(",", ""))
    again = train(command, run_dir, f"--train_steps={step + 1}", "--log_every_steps=1")
    assert f"on from step {step:,} to step" in again.stdout, again.stderr


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    command: Command, tmp_path: Path
) -> None:
    run_dir = tmp_path / "r"
    first = train(command, run_dir, "--train_steps=4", "--checkpoint_every_steps=2")
    assert first.returncode == 0, first.stderr
    (data,) = (run_dir / "checkpoints").glob("step-4.data*")
    data.write_bytes(data.read_bytes()[:1000])
    again = train(command, run_dir, "--train_steps=5")
    assert again.returncode == 0, again.stderr
    assert "on from step 2" in again.stdout
    assert "step-4" in again.stderr


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(command: Command, tmp_path: Path, precision: str) -> None:
    result = train(
        command,
        tmp_path / "r",
        "--train_steps=3",
        "--log_every_steps=1",
        f"--precision={precision}",
    )
    assert result.returncode == 0, result.stderr
    assert np.isfinite([float(row["loss"]) for row in rows(tmp_path / "r")]).all()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--prediction=noise", "--schedule=ddpm_linear"),
        ("--prediction=image", "--schedule=ddpm_cosine"),
        ("--jit_compile",),
    ],
    ids=" ".join,
)
def test_other_settings_train(command: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = train(command, tmp_path / "r", "--train_steps=2", "--log_every_steps=1", *arguments)
    assert result.returncode == 0, result.stderr
    assert all(0 < float(row["loss"]) < 10 for row in rows(tmp_path / "r"))


def test_a_folder_of_pictures_trains(command: Command, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for index, shape in enumerate([(30, 40, 3), (16, 16, 3), (9, 50, 3)]):
        picture = Image.fromarray(generator.integers(0, 256, shape, np.uint8))
        picture.save(tmp_path / "photos" / "deep" / f"{index}.png")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    result = train(command, tmp_path / "r", f"--data=folder:{tmp_path}/photos", "--train_steps=1")
    assert result.returncode == 0, result.stderr
    assert "4 images of 16×16 (0 held out), cached in memory" in result.stdout
    assert result.stderr.count("broken.jpg") == 1


def test_oxford_flowers_train(command: Command, tmp_path: Path, flowers_dir: Path) -> None:
    arguments = ("--data=tfds:oxford_flowers102", f"--data_dir={flowers_dir}", "--train_steps=1")
    result = train(command, tmp_path / "r", *arguments)
    assert result.returncode == 0, result.stderr
    # 1,020 + 6,149 images, of which two stand among the 1,020 held out.
    assert "7,167 images of 16×16 (1,020 held out)" in result.stdout


class TestRefusals:
    """One line, the right status, and nothing touched."""

    def refused(self, result: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
        assert result.returncode == status
        assert len(result.stderr.splitlines()) == 1, result.stderr
        assert all(word in result.stderr for word in words), result.stderr

    def test_other_settings(self, command: Command, tiny_run: Path) -> None:
        result = train(command, tiny_run, "--seed=5", "--train_steps=50")
        self.refused(result, 1, "holds a run of other settings (seed: 0, not 5)")

    def test_other_data(self, command: Command, tiny_run: Path, tmp_path: Path) -> None:
        run_dir = shutil.copytree(tiny_run, tmp_path / "r")
        text = (run_dir / "config.json").read_text()
        fingerprint = json.loads(text)["data"]["fingerprint"]
        (run_dir / "config.json").write_text(text.replace(fingerprint, "0" * 64))
        self.refused(train(command, run_dir, "--train_steps=50"), 1, "was trained on other data")

    def test_checkpoints_that_are_gone(
        self, command: Command, tiny_run: Path, tmp_path: Path
    ) -> None:
        run_dir = shutil.copytree(tiny_run, tmp_path / "r")
        shutil.rmtree(run_dir / "checkpoints")
        weights = (run_dir / "ema.weights.h5").read_bytes()
        result = train(command, run_dir, "--train_steps=50")
        self.refused(result, 1, "holds no checkpoint", "choose another --run_dir")
        assert (run_dir / "ema.weights.h5").read_bytes() == weights

    def test_fewer_steps_than_it_has(self, command: Command, tiny_run: Path) -> None:
        result = train(command, tiny_run, "--train_steps=20")
        self.refused(result, 1, "train_steps=20: the run is at step 40 already")

    def test_a_checkpoint_of_another_shape(
        self, command: Command, tiny_run: Path, tmp_path: Path
    ) -> None:
        other = train(command, tmp_path / "r", "--train_steps=1", "--widths=8,16")
        assert other.returncode == 0, other.stderr
        shutil.copy(tiny_run / "config.json", tmp_path / "r" / "config.json")
        result = train(command, tmp_path / "r", "--train_steps=50")
        self.refused(result, 1, "cannot be resumed: ", "step-1", "choose another --run_dir")

    def test_a_foreign_folder(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("keep me")
        self.refused(train(command, tmp_path), 1, "is not a run of diffkiln-train")
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_resume_never(self, command: Command, tiny_run: Path) -> None:
        self.refused(train(command, tiny_run, "--resume=never"), 1, "holds a run already")

    def test_resume_must(self, command: Command, tmp_path: Path) -> None:
        result = train(command, tmp_path / "r", "--resume=must")
        self.refused(result, 1, "nothing to resume")
        assert not (tmp_path / "r").exists()

    @pytest.mark.parametrize(
        ("argument", "status", "words"),
        [
            ("--preset=nope", 2, ("--preset=nope", "tiny|flowers64")),
            ("--learning_rate=-1", 2, ("--learning_rate=-1.0: expected a number in (0, 1]",)),
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
        self.refused(result, status, *words)
        assert not (tmp_path / "r").exists()

    def test_a_data_set_that_is_not_prepared(self, command: Command, tmp_path: Path) -> None:
        arguments = ("--data=tfds:mnist", f"--data_dir={tmp_path / 'none'}")
        result = train(command, tmp_path / "r", *arguments)
        self.refused(result, 1, "tfds:mnist: not prepared under", "--download")
        assert not list(tmp_path.iterdir())

    def test_a_split_that_is_not_there(
        self, command: Command, tmp_path: Path, flowers_dir: Path
    ) -> None:
        arguments = ("--data=tfds:oxford_flowers102", f"--data_dir={flowers_dir}", "--split=spring")
        result = train(command, tmp_path / "r", *arguments)
        self.refused(result, 1, "split=spring: not a split", "train, validation, test")

    def test_no_run_dir(self, command: Command) -> None:
        self.refused(command("diffkiln-train"), 2, "--run_dir: missing")
