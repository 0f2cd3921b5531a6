"""Training on folders: odd pictures, big folders, caches that change, and what it refuses."""

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from pictures import picture, save_linked, save_pictures
from PIL import Image
from training_runs import rows, same_weights, start, train, train_here, wait_for_rows

from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow

RECORD_BYTES = 16 * 16 * 3 + 5


def save_odd_pictures(folder: Path) -> None:
    folder.mkdir(parents=True)
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
    save_odd_pictures(tmp_path / "odd" / "deep")
    (tmp_path / "odd" / "broken.jpg").write_bytes(b"no picture")
    data = f"--data=folder:{tmp_path}/odd"
    result = train(command, tmp_path / "r", data, "--train_steps=3", "--log_every_steps=1")
    assert result.returncode == 0, result.stderr
    assert "12 images of 16×16 (0 held out), cached in memory" in result.stdout
    assert np.isfinite([float(row["loss"]) for row in rows(tmp_path / "r")]).all()
    warnings = [line for line in result.stderr.splitlines() if "diffkiln-train: " in line]
    assert len(warnings) == 3
    assert "broken.jpg' is no picture" in warnings[0]
    assert "cut.jpg' cannot be decoded" in warnings[1]
    assert "too-large.png' cannot be decoded" in warnings[2]
    assert "Warning" not in result.stderr


def test_a_big_folder_starts_after_a_small_part_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_linked(tmp_path / "photos", 5000, size=32)
    # As a start leaves it that was killed before its first step, with a file of other images.
    (tmp_path / "r" / "cache").mkdir(parents=True)
    (tmp_path / "r" / "cache" / "0123456789abcdef-0.images").write_bytes(b"other")
    train_here(tmp_path / "r", data=f"folder:{tmp_path}/photos", cache="disk", train_steps=1)
    output = capsys.readouterr().out
    assert "5,000 images of 16×16 (0 held out), cached on disk" in output
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
def changed_run(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A run of four steps, two with each of two caches."""
    run_dir = tmp_path_factory.mktemp("run") / "r"
    for steps, cache in ((2, "disk"), (4, "none")):
        train_here(run_dir, data=f"folder:{photos}", cache=cache, train_steps=steps)
    return run_dir


def test_the_cache_may_change(
    tmp_path: Path, photos: Path, changed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_here(tmp_path / "r", data=f"folder:{photos}", train_steps=4)
    assert "cached in memory" in capsys.readouterr().out
    same_weights(tmp_path / "r", changed_run)


def test_a_run_with_a_fingerprint_of_pixels_goes_on_with_as_many_pictures(
    tmp_path: Path, photos: Path, changed_run: Path
) -> None:
    run_dir = shutil.copytree(changed_run, tmp_path / "r")
    config = json.loads((run_dir / "config.json").read_text())
    # The run keeps the statistics of all its pixels, since the weights were trained with them.
    config["data"] |= {"fingerprint": "0" * 64, "pixel_mean": [0.5, 0.25, 0.125]}
    (run_dir / "config.json").write_text(json.dumps(config))
    train_here(run_dir, data=f"folder:{photos}", cache="disk", train_steps=5)
    assert json.loads((run_dir / "config.json").read_text())["data"] == config["data"]
    config["data"]["images"] = 11
    (run_dir / "config.json").write_text(json.dumps(config))
    words = r"trained on other data \(11 images, fingerprint 00000000000000, not 12, fil"
    with pytest.raises(InputError, match=words):
        train_here(run_dir, data=f"folder:{photos}", train_steps=6)


def test_a_run_that_took_jpeg_and_png_alone_goes_on_with_them(
    tmp_path: Path, photos: Path, changed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, mine = (
        shutil.copytree(changed_run, tmp_path / "r"),
        shutil.copytree(photos, tmp_path / "p"),
    )
    config = json.loads((run_dir / "config.json").read_text())
    assert config["data"].pop("reading_version") == 2
    (run_dir / "config.json").write_text(json.dumps(config))
    picture(99, 20).save(mine / "new.webp")
    train_here(run_dir, data=f"folder:{mine}", cache="disk", train_steps=5)
    assert "12 images of 16×16 (0 held out)" in (line := capsys.readouterr().out)
    assert "Left out: 1 .webp." in line
    assert json.loads((run_dir / "config.json").read_text())["data"]["reading_version"] == 1
    with pytest.raises(InputError, match=r"was trained on other data \(12 images, .* not 13"):
        train_here(shutil.copytree(changed_run, tmp_path / "new"), data=f"folder:{mine}")


def test_a_divided_folder_has_a_held_out_loss_and_a_best_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, count in (("train", 12), ("val", 4)):
        for kind in ("cat", "dog"):
            save_pictures(tmp_path / "data" / part / kind, count, size=20, ending="webp")
    (tmp_path / "data" / "notes.txt").touch()
    settings = {"data": f"folder:{tmp_path}/data", "cache": "disk", "num_classes": 2}
    run_dir = tmp_path / "data" / "run"
    for steps in (2, 4):
        train_here(run_dir, train_steps=steps, checkpoint_every_steps=2, **settings)
    assert "24 images of 16×16 (8 held out), cached on disk" in (line := capsys.readouterr().out)
    words = (
        "Trained on train; held out val. Left out: 1 .txt, 1 run directories. Classes: cat, dog."
    )
    assert words in line
    assert json.loads((run_dir / "best.json").read_text())["eval_loss"] > 0


def test_pictures_that_vanish_end_the_run(tmp_path: Path, photos: Path) -> None:
    mine, run_dir = shutil.copytree(photos, tmp_path / "mine"), tmp_path / "r"

    def vanish() -> None:
        wait_for_rows(run_dir)
        shutil.rmtree(mine)

    vanishing = threading.Thread(target=vanish)
    vanishing.start()
    settings = {"data": f"folder:{mine}", "cache": "none", "log_every_steps": 1}
    with pytest.raises(InputError, match="holds 12 pictures and none can be read"):
        train_here(run_dir, train_steps=100000, **settings)
    vanishing.join()


def test_a_full_disk_ends_the_run_in_one_line(tmp_path: Path, photos: Path) -> None:
    pytest.importorskip("resource")  # which Windows lacks
    flags = (f"--data=folder:{photos}", "--cache=disk", "--train_steps=1")
    process = start(tmp_path / "r", *flags, largest_file=5 * RECORD_BYTES)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert len(error.splitlines()) == 1, error
    assert "the cache of images could not be written" in error
    assert "make room" in error


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_run_dir_that_cannot_be_made(tmp_path: Path, photos: Path, cache: str) -> None:
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(InputError, match=f"{tmp_path}/file/r: cannot be written to .*not a folder"):
        train_here(tmp_path / "file" / "r", data=f"folder:{photos}", cache=cache, train_steps=1)
    assert (tmp_path / "file").read_text() == "keep me"


def test_broken_pictures_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"broken")
    with pytest.raises(InputError, match=r"holds 2 pictures and none can be read.*replace them"):
        train_here(tmp_path / "r", data=f"folder:{tmp_path}/photos")
    assert not (tmp_path / "r").exists()
