"""An ended run goes on to the same weights; what runs keep, and what they begin with."""

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Command
from training_runs import rows, train, weights

from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.data.synthetic.species import SPECIES
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.lineage import training_record
from diffkiln.trainer.run.metrics import COLUMNS
from diffkiln.trainer.run.weights import load_network

STEPS = 12
# One level of blocks: what takes long is tracing the network, not training it.
SMALL = "--widths=16"
ATTENTION, CLASSES = {"attention_heads": 2}, {"num_classes": len(SPECIES)}
SAVED = (SMALL, "--log_every_steps=1", "--checkpoint_every_steps=2", "--keep_checkpoints=2")


def start(run_dir: Path, *arguments: str, **settings: object) -> subprocess.Popen[str]:
    program = Path(sys.executable).with_name("diffkiln-train")
    flags = (f"--run_dir={run_dir}", *TINY, *SAVED, *arguments)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([program, *flags], **pipes, **settings)  # type: ignore[call-overload]


def killed_after_a_row(run_dir: Path, number: signal.Signals) -> None:
    """A run of many steps, ended somewhere between two checkpoints."""
    process = start(run_dir, f"--train_steps={STEPS}", "--learning_rate=0.001")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if run_dir.exists() and len(rows(run_dir)) >= 3:
            process.send_signal(number)
            break
        time.sleep(0.01)
    output, _ = process.communicate(timeout=60)
    ended = process.returncode == -number or f"Stopped by {number.name} at step" in output
    assert ended, output


def killed(run_dir: Path) -> None:
    killed_after_a_row(run_dir, signal.SIGKILL)


def terminated(run_dir: Path) -> None:
    killed_after_a_row(run_dir, signal.SIGTERM)


def without_room(run_dir: Path) -> None:
    """A run of which no file may grow beyond a part of a checkpoint, as on a full disk."""
    limit = 100_000
    process = start(
        run_dir,
        f"--train_steps={STEPS}",
        "--learning_rate=0.001",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    _, error = process.communicate(timeout=120)
    last = error.splitlines()[-1]
    assert process.returncode == 1, error
    assert "the checkpoint of step 2 could not be written" in last
    assert "make room, and give the same command again" in last
    assert not list(run_dir.rglob(".*.h5"))


@pytest.fixture(scope="module")
def uninterrupted(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("whole") / "r"
    done = train(command, run_dir, f"--train_steps={STEPS}", "--learning_rate=0.001", *SAVED)
    assert done.returncode == 0, done.stderr
    return run_dir


def same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


@pytest.mark.parametrize("ended", [killed, terminated, without_room])
def test_an_ended_run_goes_on_to_the_same_weights(
    command: Command, tmp_path: Path, uninterrupted: Path, ended: Callable[[Path], None]
) -> None:
    run_dir = tmp_path / "r"
    ended(run_dir)
    again = train(command, run_dir, f"--train_steps={STEPS}", "--learning_rate=0.001", *SAVED)
    assert again.returncode == 0, again.stderr
    same_weights(run_dir, uninterrupted)
    assert [row["step"] for row in rows(run_dir)] == [str(k + 1) for k in range(STEPS)]


def test_a_longer_inverse_square_root_goes_on_exactly(command: Command, tmp_path: Path) -> None:
    decay = "--learning_rate_decay=inverse_sqrt"
    for run_dir, ends in (("once", [8]), ("twice", [3, 8])):
        for steps in ends:
            done = train(command, tmp_path / run_dir, f"--train_steps={steps}", decay, SMALL)
            assert done.returncode == 0, done.stderr
    same_weights(tmp_path / "once", tmp_path / "twice")


def test_a_cosine_ends_where_it_was_said_to(command: Command, tmp_path: Path) -> None:
    flags = ("--learning_rate_decay=cosine", "--warm_up_steps=1", SMALL)
    done = train(command, tmp_path / "r", "--train_steps=2", *flags)
    assert done.returncode == 0, done.stderr
    longer = train(command, tmp_path / "r", "--train_steps=4", *flags)
    assert longer.returncode == 1
    assert "holds a run of other settings (train_steps: 2, not 4)" in longer.stderr


def test_the_newest_checkpoints_and_the_best_are_kept(uninterrupted: Path) -> None:
    checkpoints = uninterrupted / "checkpoints"
    steps = {int(path.stem.removeprefix("step-")) for path in checkpoints.glob("step-*.index")}
    best = json.loads((uninterrupted / "best.json").read_text())
    assert steps == {STEPS - 2, STEPS}
    assert [path.stem for path in (checkpoints / "best").glob("*.index")] == [
        f"step-{best['step']}"
    ]
    evaluated = {int(row["step"]): float(row["eval_loss"]) for row in rows(uninterrupted)}
    saved = {step: loss for step, loss in evaluated.items() if step % 2 == 0}
    assert best["step"] == min(saved, key=lambda step: saved[step])
    assert best["eval_loss"] == saved[best["step"]]


def test_a_worse_step_leaves_the_best_alone(
    command: Command, tmp_path: Path, uninterrupted: Path
) -> None:
    run_dir = shutil.copytree(uninterrupted, tmp_path / "r")
    (run_dir / "best.json").write_text('{"step": 2, "eval_loss": 0.0}')
    before = (run_dir / "best.weights.h5").read_bytes()
    flags = (f"--train_steps={STEPS + 2}", "--learning_rate=0.001", *SAVED)
    done = train(command, run_dir, *flags)
    assert "The held-out loss was lowest at step 2." in done.stdout, done.stderr
    assert "--weights=best" in done.stdout
    assert (run_dir / "best.weights.h5").read_bytes() == before


def test_a_row_has_every_column(uninterrupted: Path) -> None:
    for row in rows(uninterrupted):
        assert tuple(row) == COLUMNS
        assert float(row["gradient_norm"]) > 0
        assert float(row["loss_scale"]) == 1
        assert float(row["input_wait_ms"]) >= 0
        # Eight images fall into some of the five parts of time, and their mean is the loss.
        parts = [float(row[name]) for name in COLUMNS if name.startswith("loss_t")]
        assert min(x for x in parts if x == x) <= float(row["loss"]) <= np.nanmax(parts)


def test_a_loss_that_is_not_finite_stops_the_run(command: Command, tmp_path: Path) -> None:
    # Weights that grow by 1 in each step soon leave the range of float16.
    flags = ("--precision=mixed_float16", "--learning_rate=1", "--log_every_steps=10")
    result = train(command, tmp_path / "r", "--train_steps=3000", *flags, "--warm_up_steps=0")
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert "was not finite in step" in last
    assert "at time t = 0." in last
    assert "lower --learning_rate than 1" in last


def begun_with(command: Command, run_dir: Path, source: Path, *flags: str) -> str:
    """What a run says that takes one step too small to change a weight."""
    still = ("--train_steps=1", "--learning_rate=1e-30", f"--init_from={source}")
    result = train(command, run_dir, *still, *flags)
    return result.stdout + result.stderr


def test_a_run_begins_with_the_average_of_another(
    command: Command, tmp_path: Path, tiny_run: Path
) -> None:
    said = begun_with(command, tmp_path / "r", tiny_run)
    assert f"weights of {tiny_run}" in said, said
    same_weights(tmp_path / "r", tiny_run)


def test_a_run_begins_with_one_of_smaller_pictures(
    command: Command, tmp_path: Path, tiny_run: Path
) -> None:
    begun_with(command, tmp_path / "r", tiny_run, "--image_size=32")
    same_weights(tmp_path / "r", tiny_run)


@pytest.mark.parametrize("added", [ATTENTION, CLASSES, ATTENTION | CLASSES])
def test_what_a_network_gains_does_nothing_at_first(
    command: Command, tmp_path: Path, tiny_run: Path, added: dict[str, int]
) -> None:
    said = begun_with(
        command, tmp_path / "r", tiny_run, *(f"--{name}={value}" for name, value in added.items())
    )
    assert f"weights of {tiny_run}" in said, said
    before = RunDirectory(tiny_run).read_config()[0].network
    generator = np.random.default_rng(0)
    noisy = generator.standard_normal((3, 16, 16, 3), np.float32)
    times = np.array([0.1, 0.5, 0.9], np.float32)
    expected = load_network(tiny_run / "ema.weights.h5", before)([noisy, times])
    grown = load_network(tmp_path / "r/ema.weights.h5", replace(before, **added))
    labels = [np.array([0, 2, -1])] if "num_classes" in added else []
    np.testing.assert_array_equal(grown([noisy, times, *labels]), expected)


def test_a_run_begins_with_the_weights_of_a_bundle(
    command: Command, tmp_path: Path, tiny_run: Path, tiny_bundle: Path
) -> None:
    begun_with(command, tmp_path / "r", tiny_bundle)
    same_weights(tmp_path / "r", tiny_run)


def test_all_the_runs_behind_the_weights_are_on_record(
    command: Command, tmp_path: Path, tiny_run: Path, tiny_bundle: Path
) -> None:
    begun_with(command, tmp_path / "second", tiny_run, "--seed=5")
    begun_with(command, tmp_path / "third", tmp_path / "second", "--seed=6")
    begun_with(command, tmp_path / "of bundle", tiny_bundle)
    first, second = RunDirectory(tmp_path / "third").read_earlier()
    assert first == json.loads((tiny_bundle / "bundle.json").read_text())["training"]
    assert (first["step"], first["settings"]["seed"]) == (40, 0)
    assert (second["step"], second["settings"]["seed"]) == (1, 5)
    assert RunDirectory(tmp_path / "of bundle").read_earlier() == [first]
    # Going on with a run leaves the record as it is.
    again = ("--train_steps=2", "--learning_rate=1e-30", f"--init_from={tmp_path / 'second'}")
    assert train(command, tmp_path / "third", *again, "--seed=6").returncode == 0
    record = training_record(RunDirectory(tmp_path / "third"))
    assert (record["step"], record["earlier"]) == (2, [first, second])
    # Weights may be passed on without the checkpoints.
    shutil.rmtree(tmp_path / "third" / "checkpoints")
    assert training_record(RunDirectory(tmp_path / "third")) == record


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--widths=8,16",), "expected NetworkConfig(image_size=16, widths=(8, 16)"),
        (("--prediction=noise",), "its prediction is velocity, expected noise"),
    ],
)
def test_weights_of_another_network_are_refused(
    command: Command, tmp_path: Path, tiny_run: Path, flags: tuple[str, ...], words: str
) -> None:
    assert words in begun_with(command, tmp_path / "r", tiny_run, *flags)
    assert not (tmp_path / "r").exists()


def test_weights_of_a_bundle_of_another_network_are_refused(
    command: Command, tmp_path: Path, tiny_bundle: Path
) -> None:
    said = begun_with(command, tmp_path / "r", tiny_bundle, "--widths=8,16")
    assert "weights of 405,420 numbers, expected" in said
    assert not (tmp_path / "r").exists()


def test_a_folder_without_weights_is_refused(command: Command, tmp_path: Path) -> None:
    said = begun_with(command, tmp_path / "r", tmp_path)
    assert "holds neither config.json nor bundle.json" in said
    assert not (tmp_path / "r").exists()


def test_saved_weights_are_those_of_the_run(uninterrupted: Path) -> None:
    shape = NetworkConfig(image_size=16, widths=(16,), blocks=1, patch_size=2)
    network = load_network(uninterrupted / "ema.weights.h5", shape)
    stored = weights(uninterrupted)
    assert network.count_params() == sum(values.size for values in stored.values())
