"""A folder is listed in a fixed order, and read picture by picture; what is lost is reported."""

import logging
import os
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from diffkiln.trainer.data.folder import Pictures, list_folder
from diffkiln.trainer.errors import InputError


def _save(path: Path, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (5, 4), level).save(path)


def _levels(folder: Path) -> list[int]:
    """The level of each picture that is read from the folder."""
    listing = list_folder(folder)
    pictures = Pictures(listing, 2)
    pictures.first_readable(range(len(listing.names)))
    return [int(pictures.read(index)[0, 0, 0]) for index in range(len(listing.names))]


def test_reads_a_tree_in_the_order_of_its_paths(tmp_path: Path) -> None:
    levels = {"b.png": 20, "a/z/deep.PNG": 10, "a.png": 0, "c/x.png": 30}
    for name, level in levels.items():
        _save(tmp_path / name, level)
    assert list_folder(tmp_path).names == ("a.png", "a/z/deep.PNG", "b.png", "c/x.png")
    assert _levels(tmp_path) == [0, 10, 20, 30]


def test_the_first_version_takes_jpeg_and_png_by_their_endings(tmp_path: Path) -> None:
    for name in ("good.jpeg", "good.JPG", ".hidden.png", ".cache/x.png", "other.gif"):
        _save(tmp_path / name)
    shutil.copy(tmp_path / "good.JPG", tmp_path / "photo")
    before = list_folder(tmp_path, version=1)
    assert before.names == ("good.JPG", "good.jpeg")
    assert before.words == " Left out: 2 hidden, 1 .gif, 1 other files."
    (tmp_path / "other.gif").unlink()
    assert list_folder(tmp_path, version=1).fingerprint == before.fingerprint


def test_the_next_readable_picture_takes_the_place_of_a_broken_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, level in ((1, 10), (4, 40)):
        _save(tmp_path / f"{number}.png", level)
    for number in (0, 2, 3, 5):
        (tmp_path / f"{number}.png").write_bytes(b"broken")
    with caplog.at_level(logging.WARNING, "diffkiln.trainer"):
        assert _levels(tmp_path) == [10, 10, 40, 40, 40, 10]
    named = [f"{str(tmp_path / f'{number}.png')!r} is no picture" for number in (0, 2, 3, 5)]
    assert [message.split(";")[0] for message in caplog.messages] == named
    assert all(
        message.endswith("(the next picture takes its place)") for message in caplog.messages
    )


def test_a_fingerprint_follows_from_paths_and_sizes_alone(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        _save(tmp_path / folder / "a.png")
        _save(tmp_path / folder / "deep" / "b.png")
    one, other = (list_folder(tmp_path / folder) for folder in ("one", "other"))
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint.startswith("files-")
    os.utime(tmp_path / "other" / "a.png", (1, 1))
    changed = list_folder(tmp_path / "other")
    assert changed.fingerprint == other.fingerprint
    assert changed.identity != other.identity
    (tmp_path / "other" / "deep" / "b.png").rename(tmp_path / "other" / "c.png")
    assert list_folder(tmp_path / "other").fingerprint != one.fingerprint
    (tmp_path / "one" / "a.png").write_bytes(b"shorter")
    assert list_folder(tmp_path / "one").fingerprint != one.fingerprint


def test_a_loop_of_links_ends_and_a_linked_folder_is_read(tmp_path: Path) -> None:
    _save(tmp_path / "elsewhere" / "linked.png")
    _save(tmp_path / "data" / "own.png")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "more").symlink_to(tmp_path / "elsewhere")
    assert list_folder(tmp_path / "data").names == ("more/linked.png", "own.png")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes among its files")
def test_pipes_and_broken_links_are_unreadable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _save(tmp_path / "good.png", 7)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    assert _levels(tmp_path) == [7, 7, 7]
    assert ["is not a file" in message for message in caplog.messages] == [True, True]


def test_refuses_a_folder_of_broken_pictures(tmp_path: Path) -> None:
    (tmp_path / "broken\nname.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"1 pictures and none can be read .*replace") as caught:
        _levels(tmp_path)
    assert "\n" not in str(caught.value)


def test_refuses_a_folder_whose_sample_is_broken(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"broken")
    _save(tmp_path / "d.png")
    pictures = Pictures(list_folder(tmp_path), 2)
    with pytest.raises(InputError, match=r"4 pictures and none of the 2 tried can .*b\.png"):
        pictures.first_readable([1, 2])


def test_refuses_pictures_that_all_broke_since_they_were_listed(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    pictures = Pictures(list_folder(tmp_path), 2)
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"1 pictures and none can be read .*is not a file"):
        pictures.read(0)


def test_refuses_what_is_no_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(InputError, match=r"gone' does not exist; expected a folder of pictures"):
        list_folder(tmp_path / "gone")
    with pytest.raises(InputError, match=r"file\.txt' is not a folder; expected a folder"):
        list_folder(tmp_path / "file.txt")
    with pytest.raises(InputError, match=r"holds no picture \(1 \.txt\); expected at .*add some"):
        list_folder(tmp_path)
