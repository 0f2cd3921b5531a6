"""Which files of a folder are pictures, and what the command says of the others."""

import os
import sys
from pathlib import Path

import pytest
from pictures import FILES, MORE_FILES, picture, same_colour, save_empty
from PIL import Image, features

from diffkiln.trainer.data.folder import list_folder
from diffkiln.trainer.data.pictures import read_image
from diffkiln.trainer.data.reading import READING_VERSION, reading
from diffkiln.trainer.errors import InputError

ENDINGS = ("jpg", "JPEG", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm")


def test_pictures_of_every_ending_are_taken_unopened(tmp_path: Path) -> None:
    names = [f"a.{ending}" for ending in ENDINGS]
    assert list_folder(save_empty(tmp_path, *names)).names == tuple(sorted(names))


@pytest.mark.parametrize("kind", MORE_FILES)
def test_files_of_newer_kinds(tmp_path: Path, kind: str) -> None:
    contents, colour = MORE_FILES[kind]
    (tmp_path / "a").write_bytes(contents)
    assert same_colour(read_image(tmp_path / "a", 2), colour, kind)
    # A run that began with the first version must not see more pictures than it did.
    with pytest.raises(
        InputError, match="is no picture; expected one of JPEG, PNG, WEBP, GIF, BMP"
    ):
        read_image(tmp_path / "a", 2, reading(1).formats)


@pytest.mark.parametrize("kind", [*FILES, *(kind for kind in MORE_FILES if "ppm" not in kind)])
def test_a_file_of_no_known_ending_is_opened_to_see(tmp_path: Path, kind: str) -> None:
    contents, _ = {**FILES, **MORE_FILES}[kind]
    for name in ("IMG_0001", "a.jpg_large"):
        (tmp_path / name).write_bytes(contents)
    assert list_folder(tmp_path).names == ("IMG_0001", "a.jpg_large")


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    save_empty(tmp_path, "a.png", "a.txt", "b.TXT", "a.json", "a.cr2", ".DS_Store", ".git/a.png")
    save_empty(tmp_path, "@eaDir/a.png", "deep/@eaDir/a.png", "__MACOSX/a.png", "#recycle/a.png")
    (tmp_path / "README").write_text("P5 or BM, but no picture at all")
    (tmp_path / "notes.old").write_text("BMW and others")
    listing = list_folder(tmp_path)
    assert listing.names == ("a.png",)
    assert sorted(listing.words.removeprefix(" Left out: ").removesuffix(".").split(", ")) == [
        *("1 #recycle", "1 .cr2", "1 .json", "1 __MACOSX"),
        *("2 .txt", "2 @eaDir", "2 hidden", "2 other files"),
    ]


@pytest.mark.skipif("HEIF" in reading(READING_VERSION).formats, reason="pillow-heif is installed")
def test_what_pillow_lacks_is_named(tmp_path: Path) -> None:
    listing = list_folder(save_empty(tmp_path, "a.png", "a.heic", "b.HEIC"))
    assert listing.words == " Left out: 2 .heic (needs pillow-heif)."


@pytest.mark.skipif("avif" not in features.get_supported(), reason="this Pillow lacks AVIF")
def test_avif_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "a.avif", quality=100)
    assert list_folder(tmp_path).names == ("a.avif",)
    assert abs(read_image(tmp_path / "a.avif", 2).astype(int) - (200, 100, 50)).max() <= 3


def test_the_fingerprint_of_jpeg_and_png_alone_is_that_of_the_first_version(tmp_path: Path) -> None:
    save_empty(tmp_path, "train/a.jpg", "train/b/c.JPEG", "val/d.png", "test/e.png", "f.png")
    assert list_folder(tmp_path).fingerprint == list_folder(tmp_path, version=1).fingerprint
    digest = "files-b50a4b94d91bf6615c874b05d5692a0aa57ebc09dd89686a7e20ab39b95772c6"
    assert list_folder(tmp_path).fingerprint == digest


def test_runs_in_the_folder_are_left_out(tmp_path: Path) -> None:
    for run in ("run", "deep/older"):
        save_empty(tmp_path, f"{run}/config.json", f"{run}/samples/1.png", f"{run}/checkpoints/x")
    save_empty(tmp_path, "a.png")
    assert list_folder(tmp_path).names == ("a.png",)
    assert list_folder(tmp_path).words == " Left out: 2 run directories."
    before = list_folder(tmp_path, version=1, run_dir=tmp_path / "run")
    assert before.names == ("a.png", "deep/older/samples/1.png")


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reading_version is 99, expected at most"):
        list_folder(save_empty(tmp_path, "a.png"), version=99)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes among its files")
def test_a_pipe_of_no_known_ending_is_not_opened(tmp_path: Path) -> None:
    picture(0, 8).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe")
    assert list_folder(tmp_path).words == " Left out: 1 other files."
