"""The command on folders: odd pictures, big folders, caches that change, and what it refuses."""

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Command
from pictures import picture, save_linked, save_pictures
from PIL import Image
from training_runs import rows, train, weights

RECORD_BYTES = 16 * 16 * 3 + 5


def start(run_dir: Path, *arguments: str, **settings: object) -> subprocess.Popen[str]:
    program = Path(sys.executable).with_name("diffkiln-train")
    flags = (f"--run_dir={run_dir}", *TINY, *arguments)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([program, *flags], **pipes, **settings)  # type: ignore[call-overload]


def refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr


def save_odd_pictures(folder: Path) -> None:
    folder.mkdir()
    colour = picture(0, 40)
    colour.convert("L").save(folder / "grey.png")
    colour.convert("LA").save(folder / "grey-alpha.png")
    colour.convert("RGBA").save(folder / "alpha.png")
    colour.convert("CMYK").save(folder / "inks.jpg")
    colour.quantize(16).save(folder / "palette.png", transparency=3)
    levels = np.random.default_rng(0).integers(0, 2**16, (40, 40)).astype(np.uint16)
    Image.fromarray(levels).save(folder / "deep.png")
    Image.new("RGB", (1, 1), "red").save(folder / "one.png")
    Image.new("RGB", (20_000, 30), "blue").save(folder / "wide.png")
    # As many pixels as Pillow warns of, and more than it opens.
    Image.new("1", (20_000, 5_000)).save(folder / "large.png")
    Image.new("1", (20_000, 10_000)).save(folder / "too-large.png")
    colour.save(folder / "cut.jpg")
    whole = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])


def test_odd_pictures_train(command: Command, tmp_path: Path) -> None:
    save_odd_pictures(tmp_path / "odd")
    data = f"--data=folder:{tmp_path}/odd"
    result = train(command, tmp_path / "r", data, "--train_steps=3", "--log_every_steps=1")
    assert result.returncode == 0, result.stderr
    assert "11 images of 16×16" in result.stdout
    assert np.isfinite([float(row["loss"]) for row in rows(tmp_path / "r")]).all()
    said = [line for line in result.stderr.splitlines() if "diffkiln-train: " in line]
    assert len(said) == 2
    assert "cut.jpg' cannot be decoded" in said[0]
    assert "too-large.png' cannot be decoded" in said[1]
    assert "Warning" not in result.stderr


def test_a_big_folder_starts_after_a_small_part_of_it(command: Command, tmp_path: Path) -> None:
    save_linked(tmp_path / "photos", 5000, size=512)
    # As a start leaves it that was killed before its first step, with a file of other images.
    (tmp_path / "r" / "cache").mkdir(parents=True)
    (tmp_path / "r" / "cache" / "0123456789abcdef-0.images").write_bytes(b"other")
    data = f"--data=folder:{tmp_path}/photos"
    result = train(command, tmp_path / "r", data, "--cache=disk", "--train_steps=1")
    assert result.returncode == 0, result.stderr
    assert "5,000 images of 16×16 (0 held out), cached on disk" in result.stdout
    (kept,) = (tmp_path / "r" / "cache").iterdir()
    marks = np.frombuffer(kept.read_bytes(), np.uint8)[RECORD_BYTES - 5 :: RECORD_BYTES]
    # The sample for the statistics, and at most 8 batches of 8 ahead of the first step.
    assert 1024 <= np.count_nonzero(marks) <= 1024 + 8 * 8


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "photos"
    save_pictures(folder, 12, size=20)
    return folder


@pytest.fixture(scope="module")
def changed_run(command: Command, tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A run of six steps, another cache in every two of them."""
    run_dir = tmp_path_factory.mktemp("run") / "r"
    for steps, cache in ((2, "disk"), (4, "none"), (6, "disk")):
        flags = (f"--data=folder:{photos}", f"--cache={cache}", f"--train_steps={steps}")
        done = train(command, run_dir, *flags, "--log_every_steps=2")
        assert done.returncode == 0, done.stderr
    return run_dir


def test_the_cache_may_change(
    command: Command, tmp_path: Path, photos: Path, changed_run: Path
) -> None:
    done = train(command, tmp_path / "r", f"--data=folder:{photos}", "--train_steps=6")
    assert done.returncode == 0, done.stderr
    assert "cached in memory" in done.stdout
    once, changed = weights(tmp_path / "r"), weights(changed_run)
    for name, values in once.items():
        np.testing.assert_array_equal(values, changed[name], err_msg=name)


def test_a_run_with_a_fingerprint_of_pixels_goes_on_with_as_many_pictures(
    command: Command, tmp_path: Path, photos: Path, changed_run: Path
) -> None:
    run_dir = shutil.copytree(changed_run, tmp_path / "r")
    config = json.loads((run_dir / "config.json").read_text())
    # What it was told of all its pixels stays, since the weights were trained with it.
    config["data"] |= {"fingerprint": "0" * 64, "pixel_mean": [0.5, 0.25, 0.125]}
    (run_dir / "config.json").write_text(json.dumps(config))
    done = train(command, run_dir, f"--data=folder:{photos}", "--train_steps=7")
    assert done.returncode == 0, done.stderr
    assert json.loads((run_dir / "config.json").read_text())["data"] == config["data"]
    config["data"]["images"] = 11
    (run_dir / "config.json").write_text(json.dumps(config))
    again = train(command, run_dir, f"--data=folder:{photos}", "--train_steps=8")
    refused(again, "was trained on other data (11 images, fingerprint 00000000000000, not 12, fil")


def test_pictures_that_vanish_end_the_run_in_one_line(tmp_path: Path, photos: Path) -> None:
    mine = shutil.copytree(photos, tmp_path / "mine")
    flags = (f"--data=folder:{mine}", "--cache=none", "--train_steps=100000")
    process = start(tmp_path / "r", *flags, "--log_every_steps=1")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not rows(tmp_path / "r"):
        time.sleep(0.1)
    shutil.rmtree(mine)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "holds 12 pictures and none can be read" in error.splitlines()[-1]
    assert "Traceback" not in error


def test_a_full_disk_ends_the_run_in_one_line(tmp_path: Path, photos: Path) -> None:
    flags = (f"--data=folder:{photos}", "--cache=disk", "--train_steps=1")
    limit = 5 * RECORD_BYTES
    process = start(
        tmp_path / "r",
        *flags,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert len(error.splitlines()) == 1, error
    assert "the cache of images could not be written" in error
    assert "make room" in error


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_run_dir_that_cannot_be_made(
    command: Command, tmp_path: Path, photos: Path, cache: str
) -> None:
    (tmp_path / "file").write_text("keep me")
    flags = (f"--data=folder:{photos}", f"--cache={cache}", "--train_steps=1")
    refused(train(command, tmp_path / "file" / "r", *flags), f"{tmp_path}/file/r", "Not a direct")
    assert (tmp_path / "file").read_text() == "keep me"


def test_broken_pictures_alone(command: Command, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"broken")
    result = train(command, tmp_path / "r", f"--data=folder:{tmp_path}/photos")
    refused(result, "holds 2 pictures and none can be read", "replace them")
    assert not (tmp_path / "r").exists()
