"""`diffkiln-export` as a user meets it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest
from conftest import TINY, Command
from forked_commands import run_command, start_command

PROGRAM = Path(sys.executable).with_name("diffkiln-export")


def refused(result: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    assert result.returncode == status
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr


def export(command: Command, run_dir: Path, bundle: Path, *more: str):
    return command("diffkiln-export", f"--run_dir={run_dir}", f"--bundle={bundle}", *more)


def test_a_mixed_precision_run_is_exported_in_float32(command: Command, tmp_path: Path) -> None:
    arguments = (f"--run_dir={tmp_path / 'r'}", *TINY, "--precision=mixed_bfloat16")
    assert command("diffkiln-train", *arguments, "--train_steps=2").returncode == 0
    flags = ("--graphs=sampler", "--nosaved_model")
    result = export(command, tmp_path / "r", tmp_path / "b", *flags)
    assert result.returncode == 0, result.stderr
    parameters = json.loads((tmp_path / "b" / "bundle.json").read_text())["model"]["parameters"]
    assert (tmp_path / "b" / "sampler.onnx").stat().st_size > 4 * parameters


def test_float_images(command: Command, tiny_run: Path, tmp_path: Path) -> None:
    flags = ("--image_dtype=float32", "--graphs=sampler", "--nosaved_model")
    result = export(command, tiny_run, tmp_path / "b", *flags)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "b" / "bundle.json").read_text())["image"]["dtype"] == "float32"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_ended_from_outside_it_leaves_nothing(tiny_run: Path, tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    arguments = (f"--run_dir={tiny_run}", f"--bundle={tmp_path / 'b'}")
    process = start_command([PROGRAM, *arguments])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(tmp_path.iterdir()):
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not list(tmp_path.iterdir())


def test_learning_goes_on_where_it_was_ended(tiny_run: Path, tmp_path: Path) -> None:
    graphs = ("--graphs=sampler", "--nosaved_model", "--solver=dpmpp_2m")
    learn = ("--learn", "--learn_steps=3", "--learn_iterations=40")
    arguments = (f"--run_dir={tiny_run}", f"--bundle={tmp_path / 'b'}", *graphs, *learn)
    part, tables = tmp_path / "b.tables.json.part", tmp_path / "b.tables.json"
    process = start_command([PROGRAM, *arguments])
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not list(part.glob("3-*.npz")):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (process.returncode, tables.exists()) == (143, False)
    assert list(part.glob("*.npy"))
    output, errors = start_command([PROGRAM, *arguments]).communicate(timeout=240)
    assert "Next: diffkiln-sample" in output, errors
    assert not part.exists()
    assert "3 steps with a table (and without) are this far from the teacher's" in errors
    sampler = json.loads((tmp_path / "b" / "bundle.json").read_text())["sampler"]
    assert sampler["default_steps"] == 20  # three steps are too few for everyone
    assert sampler["tables"]["by_steps"] == json.loads(tables.read_text())["by_steps"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras
@pytest.mark.parametrize(
    ("room", "words"),
    [
        (4_000, "optimised.onnx: could not be written; free some space"),
        # Room for the ONNX graph, but not for the SavedModel.
        (100_000, "b could not be written: "),
    ],
)
def test_with_no_room_left_it_leaves_nothing(tmp_path: Path, room: int, words: str) -> None:
    pytest.importorskip("resource")  # which Windows lacks
    noisy, time = keras.Input((8, 8, 3)), keras.Input(())
    keras.Model([noisy, time], keras.layers.Conv2D(3, 3, padding="same")(noisy)).save(
        tmp_path / "net.keras"
    )
    flags = ("--pixel_mean=0.5", "--pixel_std=0.3", "--graphs=sampler")
    flags += (f"--network={tmp_path / 'net.keras'}", f"--bundle={tmp_path / 'b'}")
    result = run_command([PROGRAM, *flags], largest_file=room)
    refused(result, 1, words)
    assert [path.name for path in tmp_path.iterdir()] == ["net.keras"]


def test_an_empty_folder(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = export(command, tmp_path / "empty", tmp_path / "b")
    refused(result, 1, "empty: holds no config.json; expected the --run_dir of diffkiln-train")
    assert not (tmp_path / "b").exists()


def test_a_run_without_weights(command: Command, tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    shutil.copy(tiny_run / "config.json", tmp_path / "r")
    refused(export(command, tmp_path / "r", tmp_path / "b"), 1, "ema.weights.h5: not there")


@pytest.mark.parametrize("content", [b"", b"no weights"], ids=["empty", "foreign"])
def test_weights_that_are_no_weights(
    command: Command, tiny_run: Path, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "r").mkdir()
    shutil.copy(tiny_run / "config.json", tmp_path / "r")
    (tmp_path / "r" / "ema.weights.h5").write_bytes(content)
    result = export(command, tmp_path / "r", tmp_path / "b")
    refused(result, 1, "ema.weights.h5: does not hold the weights of this run's network")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_weights_of_another_shape(command: Command, tiny_run: Path, tmp_path: Path) -> None:
    run_dir = shutil.copytree(tiny_run, tmp_path / "r")
    content = json.loads((run_dir / "config.json").read_text())
    content["settings"]["widths"] = [16, 48]
    (run_dir / "config.json").write_text(json.dumps(content))
    result = export(command, run_dir, tmp_path / "b")
    refused(result, 1, "ema.weights.h5: does not hold the weights of this run's network")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 99}, "schema_version is 99, expected 1"),
        ({"settings": {"seed": 1}}, "missing settings"),
        ({"data": {}}, "not as diffkiln-train writes it"),
    ],
)
def test_a_config_that_is_not_ours(
    command: Command, tiny_run: Path, tmp_path: Path, change: dict, words: str
) -> None:
    content = json.loads((tiny_run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**content, **change}))
    refused(export(command, tmp_path, tmp_path / "b"), 1, "config.json", words)


@pytest.mark.parametrize(
    ("argument", "status", "words"),
    [
        ("--image_dtype=int8", 2, "--image_dtype=int8"),
        ("--graphs=poem", 2, "--graphs=poem: expected"),
        ("--speed=fast", 2, "--speed: no such flag"),
        ("--bundle=/no/such/dir/b", 2, "--bundle=/no/such/dir/b: expected a path in an existing"),
        ("--bundle=~/no/such/b", 2, f"--bundle={Path.home()}/no/such/b: expected a path in an"),
        ("--tables=https://a.b/c.json", 2, "--tables=https://a.b/c.json: is a URL, expected"),
    ],
)
def test_flags(
    command: Command, tiny_run: Path, tmp_path: Path, argument: str, status: int, words: str
) -> None:
    refused(export(command, tiny_run, tmp_path / "b", argument), status, words)
    assert not list(tmp_path.iterdir())


def test_missing_flags(command: Command) -> None:
    refused(command("diffkiln-export", "--run_dir=r"), 2, "--bundle: missing")
