"""Training on arrays: what is drawn, resumed and printed."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_files import SMALL, array_config, save_arrays, train_arrays
from conftest import Command
from training_runs import refused, rows, same_weights

from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.describe import plan
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.lineage import training_record
from diffkiln.trainer.run.teacher import read_teacher
from diffkiln.trainer.run.weights import initial_weights, load_network

pytestmark = pytest.mark.slow


def preview(run_dir: Path, step: int) -> Any:
    return np.load(run_dir / "samples" / f"step-{step:07d}.npz")


def test_one_fixed_array_is_drawn(tmp_path: Path) -> None:
    fixed = np.array([[1000, 3.0], [1010, -1], [990, 0], [1005, 2], [1000, 7]])
    np.savez(tmp_path / "a.npz", samples=np.tile(fixed, (8, 1, 1)))
    settings = {"train_steps": 400, "learning_rate": 0.005, "learning_rate_decay": "cosine"}
    often = {"log_every_steps": 100, "checkpoint_every_steps": 400, "preview_every_steps": 400}
    wide = {"widths": (32,), "batch_size": 32, "ema_half_life_images": 500}
    train_arrays(tmp_path / "r", tmp_path / "a.npz", **settings, **often, **wide)
    drawn = preview(tmp_path / "r", 400)["samples"]
    assert (drawn.shape, drawn.dtype) == ((16, 5, 2), np.float32)
    # So near, in deviations of an entry, comes a network of this size in so few steps.
    assert np.abs((drawn - fixed) / fixed.std(axis=0)).max() < 0.1


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "a.npz"
    return save_arrays(path, (40, 7, 3), labels=np.arange(40) % 2, class_names=["up", "down"])


# All that random numbers of a step may depend on.
OF_LABELLED: dict[str, Any] = {
    "num_classes": 2,
    "eval_split": "20%",
    "dropout": 0.1,
    "patch_size": 2,
    "time_sampling": "stratified",
    "preview_every_steps": 4,
}


@pytest.fixture(scope="module")
def labelled_run(tmp_path_factory: pytest.TempPathFactory, labelled: Path) -> Path:
    run_dir = tmp_path_factory.mktemp("run") / "r"
    train_arrays(run_dir, labelled, train_steps=4, **OF_LABELLED)
    return run_dir


def test_a_run_leaves_what_runs_on_images_leave(labelled_run: Path) -> None:
    assert {path.name for path in labelled_run.iterdir()} == {
        *("config.json", "checkpoints", "samples", "logs", "metrics.csv"),
        *("ema.weights.h5", "best.weights.h5", "best.json"),
    }
    drawn = preview(labelled_run, 4)
    assert drawn["samples"].shape == (16, 7, 3)
    assert drawn["labels"].tolist() == [0] * 8 + [1] * 8
    assert [path.name for path in (labelled_run / "samples").iterdir()] == ["step-0000004.npz"]
    assert all(0 < float(row["eval_loss"]) < 10 for row in rows(labelled_run))
    config, data = RunDirectory(labelled_run).read_config()
    assert (config.array_shape, data.class_names) == ((7, 3), ("up", "down"))
    assert len(data.pixel_mean) == len(data.pixel_std) == 3


def test_it_resumes_to_the_bit_with_a_file_that_moved(
    tmp_path: Path, labelled: Path, labelled_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = Path(shutil.copy(labelled, tmp_path / "b.npz"))
    for steps, path in ((2, labelled), (4, moved)):
        train_arrays(tmp_path / "r", path, train_steps=steps, **OF_LABELLED)
    same_weights(tmp_path / "r", labelled_run)
    last = preview(labelled_run, 4)["samples"]
    np.testing.assert_array_equal(preview(tmp_path / "r", 4)["samples"], last)
    lines = [line for line in capsys.readouterr().out.splitlines() if " of shape " in line]
    held_out = RunDirectory(labelled_run).read_config()[1].eval_images
    assert lines[1].startswith(f"{40 - held_out} samples of shape [7, 3] ({held_out} held out), ")
    assert "on from step 2 to step 4. Classes: up, down." in lines[1]


def test_other_numbers_are_refused(tmp_path: Path, labelled: Path, labelled_run: Path) -> None:
    with np.load(labelled) as file:
        changed = {**file, "samples": file["samples"] + 1}
    np.savez(tmp_path / "a.npz", **changed)
    with pytest.raises(InputError, match=r"was trained on other data \(\d+ samples, fingerprint"):
        train_arrays(labelled_run, tmp_path / "a.npz", train_steps=5, **OF_LABELLED)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["down", "up"], r"\(its classes come in the order down, up …, not up, down …\)"),
        (["up", "left"], r"\(2 classes, not 2; gone: down; new: left\)"),
    ],
)
def test_other_names_of_the_same_labels_are_refused(
    tmp_path: Path, labelled: Path, labelled_run: Path, names: list[str], message: str
) -> None:
    with np.load(labelled) as file:
        np.savez(tmp_path / "a.npz", **{**file, "class_names": names})
    with pytest.raises(InputError, match=message):
        train_arrays(labelled_run, tmp_path / "a.npz", train_steps=5, **OF_LABELLED)


def test_labels_that_are_all_of_no_class_are_refused(tmp_path: Path) -> None:
    path = save_arrays(tmp_path / "a.npz", (9, 2), labels=np.full(9, -1))
    with pytest.raises(InputError, match="has no classes; expected samples of classes, or leave"):
        train_arrays(tmp_path / "r", path, num_classes=2, train_steps=1)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((5,), {"precision": "mixed_float16", "loss_weighting": "min_snr"}),
        ((6, 9, 5), {"precision": "mixed_bfloat16", "patch_size": 2, "accumulation_steps": 2}),
    ],
)
def test_other_shapes_and_settings_train(
    tmp_path: Path, shape: tuple[int, ...], settings: dict[str, Any]
) -> None:
    path = save_arrays(tmp_path / "a.npz", (10, *shape))
    train_arrays(tmp_path / "r", path, train_steps=2, **settings)
    assert all(0 < float(row["loss"]) < 10 for row in rows(tmp_path / "r"))
    assert np.isfinite(preview(tmp_path / "r", 2)["samples"]).all()


def test_a_run_begins_with_the_weights_of_longer_arrays(
    tmp_path: Path, labelled: Path, labelled_run: Path
) -> None:
    known = initial(labelled_run, save_arrays(tmp_path / "a.npz", (10, 9, 3)))
    network = array_config(labelled, **OF_LABELLED).network
    saved = load_network(labelled_run / "ema.weights.h5", network)
    for ours, theirs in zip(known, saved.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(InputError, match=r"init_from=.*: its network has .* expected"):
        initial(labelled_run, save_arrays(tmp_path / "b.npz", (10, 9, 4)))


def initial(source: Path, path: Path) -> list[np.ndarray]:
    """The weights with which a run on a file begins."""
    config = array_config(path, **{**OF_LABELLED, "eval_split": None})
    return initial_weights(source, config, build_unet(config.network))


def test_a_record_does_not_say_where_the_file_was(labelled_run: Path) -> None:
    record = training_record(RunDirectory(labelled_run))
    assert record["settings"]["data"] == "npz"
    settings = json.loads(json.dumps({**record["settings"], "data": "npz:.", "data_dir": None}))
    assert TrainConfig.from_json(settings).array_shape == (7, 3)


def test_arrays_have_no_students(labelled_run: Path) -> None:
    with pytest.raises(InputError, match=r"distill_from=.*: draws arrays, and only networks that"):
        read_teacher(labelled_run)


def test_a_file_is_described(tmp_path: Path, labelled: Path) -> None:
    text, refusals = plan(tmp_path / "r", array_config(labelled, **OF_LABELLED))
    assert not refusals
    assert f"data      npz:{labelled}, 20% held out: 40 samples of shape [7, 3], float32, " in text
    assert "with labels\ncache     memory, 0.0 MB of float32\nnumbers   -" in text
    assert "\nclasses   " in text
    assert "what 8 samples leave in the network" in text
    assert "images" not in text


def test_a_large_file_is_described_by_its_header(
    tmp_path: Path, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffkiln.trainer.describe._MOST_BYTES_READ", 1000)
    monkeypatch.setattr("diffkiln.trainer.describe.load_images", None)
    text, refusals = plan(tmp_path / "r", array_config(labelled))
    assert not refusals
    assert "numbers   not read, since they take 0.0 GB" in text


def test_the_command_trains_and_refuses(command: Command, tmp_path: Path) -> None:
    path = save_arrays(tmp_path / "a.npz", (12, 2))
    sizes = [f"--{name}={value}" for name, value in SMALL.items() if name != "widths"]
    flags = (f"--data=npz:{path}", "--widths=8", *sizes, "--train_steps=1")
    result = command("diffkiln-train", f"--run_dir={tmp_path / 'r'}", *flags)
    assert result.returncode == 0, result.stderr
    assert "12 samples of shape [2] (0 held out), cached in memory" in result.stdout
    assert "image" not in result.stdout
    np.savez(path, samples=np.full((9, 2), np.nan))
    result = command("diffkiln-train", f"--run_dir={tmp_path / 's'}", *flags)
    refused(result, 1, "row 0 of 'samples' holds NaN, infinity or a number too large")
    assert not (tmp_path / "s").exists()
