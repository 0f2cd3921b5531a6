"""An ended run goes on to the same weights; what runs keep, and what they begin with."""

import json
import re
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import TINY, Command
from enlarging_models import SMALL_PICTURE, enlarging_network
from small_models import PIXELS
from training_runs import (
    SAVED,
    SAVED_FLAGS,
    STEPS,
    rows,
    same_weights,
    small_config,
    start,
    train_here,
    wait_for_rows,
    weights,
)

from diffkiln.export import export_bundle
from diffkiln.export.run import export_run
from diffkiln.trainer.config import NetworkConfig, TrainConfig
from diffkiln.trainer.data.synthetic.species import SPECIES
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.run.autoencoder import read_autoencoder
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.lineage import training_record
from diffkiln.trainer.run.metrics import COLUMNS
from diffkiln.trainer.run.teacher import read_teacher
from diffkiln.trainer.run.weights import initial_weights, load_network, teacher_network

pytestmark = pytest.mark.slow

ATTENTION, CLASSES = {"attention_heads": 2}, {"num_classes": len(SPECIES)}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends processes without a signal")
def test_a_run_that_is_ended_again_and_again_goes_on_to_the_same_weights(
    tmp_path: Path, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "r"
    runs_out_of_room(run_dir)
    terminated = is_ended_by_a_signal(run_dir, "SIGTERM", status=143)
    step = re.search("Stopped by SIGTERM at step ([1-9][0-9]*);", terminated)
    assert step, terminated
    interrupted = is_ended_by_a_signal(run_dir, "SIGINT", status=130)
    assert f"on from step {step[1]} to step {STEPS}" in interrupted
    step = re.search("Stopped by SIGINT at step ([1-9][0-9]*);", interrupted)
    assert step, interrupted
    killed = is_ended_by_a_signal(run_dir, "SIGKILL", status=-9, busy=True)
    assert "Stopped" not in killed
    with (run_dir / "metrics.csv").open("a") as file:
        file.write(f"{STEPS},1")  # as if it had been killed while it wrote a row
    train_here(run_dir, train_steps=STEPS, **SAVED)
    assert f"to step {STEPS}" in capsys.readouterr().out
    same_weights(run_dir, small_run)
    assert [row["step"] for row in rows(run_dir)] == [str(k + 1) for k in range(STEPS)]


def runs_out_of_room(run_dir: Path) -> None:
    """Start a run whose files may not grow beyond a part of a checkpoint."""
    process = start(run_dir, f"--train_steps={STEPS}", *SAVED_FLAGS, largest_file=100_000)
    _, errors = process.communicate(timeout=120)
    last = errors.splitlines()[-1]
    assert process.returncode == 1, errors
    assert "the checkpoint of step 2 could not be written" in last
    assert "make room, and give the same command again" in last
    assert not list(run_dir.rglob(".*.h5"))


def is_ended_by_a_signal(run_dir: Path, name: str, *, status: int, busy: bool = False) -> str:
    """Train until there are some more rows, and send the signal; what the command printed.

    If it is `busy`, look first whether another job is refused.
    """
    before = len(rows(run_dir))
    process = start(run_dir, f"--train_steps={STEPS}", *SAVED_FLAGS)
    wait_for_rows(run_dir, before + 2)
    if busy:
        with pytest.raises(InputError, match="r: is in use by process"):
            train_here(run_dir, train_steps=STEPS, **SAVED)
    process.send_signal(signal.Signals[name])
    output, errors = process.communicate(timeout=60)
    assert f"Trained {STEPS} steps" not in output  # which would be too late for the signal
    assert process.returncode == status, errors
    return output


def test_the_newest_checkpoints_and_the_best_are_kept(small_run: Path) -> None:
    checkpoints = small_run / "checkpoints"
    steps = {int(path.stem.removeprefix("step-")) for path in checkpoints.glob("step-*.index")}
    best = json.loads((small_run / "best.json").read_text())
    assert steps == {STEPS - 2, STEPS}
    assert [path.stem for path in (checkpoints / "best").glob("*.index")] == [
        f"step-{best['step']}"
    ]
    evaluated = {int(row["step"]): float(row["eval_loss"]) for row in rows(small_run)}
    saved = {step: loss for step, loss in evaluated.items() if step % 2 == 0}
    assert best["step"] == min(saved, key=lambda step: saved[step])
    assert best["eval_loss"] == saved[best["step"]]


def test_a_worse_step_leaves_the_best_alone(
    tmp_path: Path, small_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = shutil.copytree(small_run, tmp_path / "r")
    (run_dir / "best.json").write_text('{"step": 2, "eval_loss": 0.0}')
    before = (run_dir / "best.weights.h5").read_bytes()
    train_here(run_dir, train_steps=STEPS + 2, **SAVED)
    output = capsys.readouterr().out
    assert "The held-out loss was lowest at step 2." in output
    assert "--weights=best" in output
    assert (run_dir / "best.weights.h5").read_bytes() == before


def test_a_row_has_every_column(small_run: Path) -> None:
    for row in rows(small_run):
        assert tuple(row) == COLUMNS
        assert float(row["gradient_norm"]) > 0
        assert float(row["loss_scale"]) == 1
        assert float(row["input_wait_ms"]) >= 0
        # Eight images fall into some of the five parts of time, and their mean is the loss.
        parts = [float(row[name]) for name in COLUMNS if name.startswith("loss_t")]
        assert min(x for x in parts if x == x) <= float(row["loss"]) <= np.nanmax(parts)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    # Weights that grow by 1 in each step soon leave the range of float16.
    settings = {"precision": "mixed_float16", "learning_rate": 1, "warm_up_steps": 0}
    words = r"was not finite in step .*at time t = 0\..*lower --learning_rate than 1"
    with pytest.raises(InputError, match=words):
        train_here(tmp_path / "r", train_steps=3000, log_every_steps=10, **settings)


def begun(run_dir: Path, source: Path, **settings: Any) -> None:
    """Train one step, too small to change a weight."""
    still: dict[str, Any] = {"train_steps": 1, "learning_rate": 1e-30, "init_from": str(source)}
    train_here(run_dir, **(still | settings))


@pytest.fixture(scope="module")
def small_bundle(
    command: Command, small_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle of `small_run` with its SavedModel, to be read."""
    bundle = tmp_path_factory.mktemp("bundle") / "small.bundle"
    flags = (f"--run_dir={small_run}", f"--bundle={bundle}", "--graphs=sampler")
    result = command("diffkiln-export", *flags)
    assert result.returncode == 0, result.stderr
    return bundle


def test_all_the_runs_behind_the_weights_are_on_record(
    tmp_path: Path, small_run: Path, small_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second, third, of_bundle = (tmp_path / name for name in ("second", "third", "of bundle"))
    begun(second, small_run, seed=5)
    assert f"weights of {small_run}" in capsys.readouterr().out
    begun(third, second, seed=6)
    begun(of_bundle, small_bundle)
    for run_dir in (second, of_bundle):
        same_weights(run_dir, small_run)
    first, then = RunDirectory(third).read_earlier()
    assert first == json.loads((small_bundle / "bundle.json").read_text())["training"]
    assert (first["step"], first["settings"]["seed"]) == (STEPS, 0)
    assert (then["step"], then["settings"]["seed"]) == (1, 5)
    assert RunDirectory(of_bundle).read_earlier() == [first]
    # Going on with a run leaves the record as it is.
    begun(third, second, seed=6, train_steps=2)
    record = training_record(RunDirectory(third))
    assert (record["step"], record["earlier"]) == (2, [first, then])
    # Weights may be passed on without the checkpoints.
    shutil.rmtree(third / "checkpoints")
    assert training_record(RunDirectory(third)) == record


def grown(source: Path, **settings: Any) -> tuple[TrainConfig, keras.Model]:
    """A network of other settings that begins with the weights of a run or bundle."""
    config = small_config(**settings)
    network = build_unet(config.network)
    network.set_weights(initial_weights(source, config, network))
    return config, network


def test_a_network_begins_with_the_weights_of_smaller_pictures(small_run: Path) -> None:
    _, network = grown(small_run, image_size=32)
    before = RunDirectory(small_run).read_config()[0].network
    expected = load_network(small_run / "ema.weights.h5", before)
    for received, values in zip(network.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(received, values)


@pytest.mark.parametrize("added", [ATTENTION, CLASSES, ATTENTION | CLASSES])
def test_what_a_network_gains_does_nothing_at_first(small_run: Path, added: dict[str, int]) -> None:
    config, network = grown(small_run, **added)
    before = RunDirectory(small_run).read_config()[0].network
    assert config.network == replace(before, **added)
    generator = np.random.default_rng(0)
    noisy = generator.standard_normal((3, 16, 16, 3), np.float32)
    times = np.array([0.1, 0.5, 0.9], np.float32)
    expected = load_network(small_run / "ema.weights.h5", before)([noisy, times])
    labels = [np.array([0, 2, -1])] if "num_classes" in added else []
    np.testing.assert_array_equal(network([noisy, times, *labels]), expected)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"widths": (8, 16)}, r"expected NetworkConfig\(image_size=16, widths=\(8, 16\)"),
        ({"prediction": "noise"}, "its prediction is velocity, expected noise"),
    ],
)
def test_weights_of_another_network_are_refused(
    small_run: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        grown(small_run, **settings)


def test_weights_of_a_bundle_of_another_network_are_refused(small_bundle: Path) -> None:
    with pytest.raises(InputError, match=r"weights of [0-9,]+ numbers, expected"):
        grown(small_bundle, widths=(8, 16))


def test_a_folder_without_weights_is_refused(command: Command, tmp_path: Path) -> None:
    flags = (f"--run_dir={tmp_path / 'r'}", f"--init_from={tmp_path}", "--train_steps=1")
    result = command("diffkiln-train", *flags, *TINY)
    assert result.returncode == 1
    assert "holds neither config.json nor bundle.json" in result.stderr
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("setting", ["latents", "init_from", "distill_from"])
def test_runs_that_have_no_weights_yet(
    tmp_path: Path, small_run: Path, autoencoder_run: Path, setting: str
) -> None:
    first = autoencoder_run if setting == "latents" else small_run
    source = shutil.copytree(first, tmp_path / "stopped")
    (source / "ema.weights.h5").unlink()
    read: dict[str, Callable[[Path], object]] = {
        "latents": partial(read_autoencoder, model=RunDirectory(tmp_path / "new")),
        "init_from": grown,
        "distill_from": read_teacher,
    }
    words = f"{setting}=.*stopped: has no weights yet; let it train to its first checkpoint"
    with pytest.raises(InputError, match=words):
        read[setting](source)


def test_a_run_goes_on_without_the_one_that_it_began_with(tmp_path: Path, small_run: Path) -> None:
    source = shutil.copytree(small_run, tmp_path / "source")
    begun(tmp_path / "r", source)
    shutil.rmtree(source)
    begun(tmp_path / "r", source, train_steps=2)
    (earlier,) = RunDirectory(tmp_path / "r").read_earlier()
    assert earlier["step"] == STEPS


def test_the_weights_of_a_cascade_are_those_of_its_first_stage(
    tmp_path: Path, small_run: Path
) -> None:
    settings: dict[str, Any] = {**PIXELS, "prediction": "image", "conditions": SMALL_PICTURE}
    second, cascade = tmp_path / "second", tmp_path / "cascade"
    export_bundle(enlarging_network((32, 32)), second, solver="dpmpp_2m", **settings)
    export_run(small_run, cascade, then=second, then_steps=2, graphs=("sampler",))
    _, network = grown(cascade)
    config = RunDirectory(small_run).read_config()[0].network
    expected = load_network(small_run / "ema.weights.h5", config).get_weights()
    taught = teacher_network(read_teacher(cascade)).get_weights()
    for received in (network.get_weights(), taught):
        assert all(np.array_equal(*pair) for pair in zip(received, expected, strict=True))


def test_saved_weights_are_the_runs(small_run: Path) -> None:
    shape = NetworkConfig(image_size=16, widths=(16,), blocks=1, patch_size=2)
    network = load_network(small_run / "ema.weights.h5", shape)
    assert network.count_params() == sum(values.size for values in weights(small_run).values())
