"""A folder becomes its readable pictures in a fixed order; what is lost is reported."""

import logging
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.folder import folder_images


def _save(path: Path, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (5, 4), level).save(path)


def _relative(folder: Path, paths: tuple[Path, ...]) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def test_reads_a_tree_in_the_order_of_its_paths(tmp_path: Path) -> None:
    levels = {"b.png": 20, "a/z/deep.PNG": 10, "a.png": 0, "c/x.png": 30}
    for name, level in levels.items():
        _save(tmp_path / name, level)
    result = folder_images(tmp_path, image_size=2)
    assert _relative(tmp_path, result.paths) == ["a.png", "a/z/deep.PNG", "b.png", "c/x.png"]
    assert result.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert result.images.shape == (4, 2, 2, 3)
    assert result.unreadable == ()


def test_ignores_hidden_files_and_other_endings(tmp_path: Path) -> None:
    for name in ("good.jpeg", "good.JPG", ".hidden.png", ".cache/x.png", "other.gif"):
        _save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("text")
    result = folder_images(tmp_path, image_size=2)
    assert _relative(tmp_path, result.paths) == ["good.JPG", "good.jpeg"]


def test_keeps_and_names_what_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for index, name in enumerate(["0.png", "9.png"]):
        _save(tmp_path / name, index)
    for index in range(1, 6):
        (tmp_path / f"{index}.png").write_bytes(b"broken")
    with caplog.at_level(logging.WARNING, "diffkiln.trainer"):
        result = folder_images(tmp_path, image_size=2)
    assert result.images[:, 0, 0, 0].tolist() == [0, 1]
    assert _relative(tmp_path, result.paths) == ["0.png", "9.png"]
    assert [path.name for path, _ in result.unreadable] == [f"{n}.png" for n in range(1, 6)]
    assert all("is no picture" in reason for _, reason in result.unreadable)
    (message,) = caplog.messages
    named = ", ".join(repr(str(tmp_path / f"{n}.png")) for n in (1, 2, 3))
    assert message == f"5 of 7 pictures cannot be read: {named}, …"


def test_a_loop_of_links_ends_and_a_linked_folder_is_read(tmp_path: Path) -> None:
    _save(tmp_path / "elsewhere" / "linked.png")
    _save(tmp_path / "data" / "own.png")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "more").symlink_to(tmp_path / "elsewhere")
    result = folder_images(tmp_path / "data", image_size=2)
    assert _relative(tmp_path / "data", result.paths) == ["more/linked.png", "own.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes among its files")
def test_pipes_and_broken_links_are_unreadable(tmp_path: Path) -> None:
    _save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    result = folder_images(tmp_path, image_size=2)
    assert [path.name for path, _ in result.unreadable] == ["broken.png", "pipe.png"]
    assert all("is not a file" in reason for _, reason in result.unreadable)


def test_refuses_a_folder_of_broken_pictures(tmp_path: Path) -> None:
    (tmp_path / "broken\nname.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"1 pictures and none can be read .*replace") as caught:
        folder_images(tmp_path, image_size=2)
    assert "\n" not in str(caught.value)


def test_refuses_what_is_no_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(InputError, match=r"gone' does not exist; expected a folder of JPEG or PNG"):
        folder_images(tmp_path / "gone", image_size=2)
    with pytest.raises(InputError, match=r"file\.txt' is not a folder; expected a folder"):
        folder_images(tmp_path / "file.txt", image_size=2)
    with pytest.raises(InputError, match=r"holds no picture; expected at least one .*add some"):
        folder_images(tmp_path, image_size=2)


def test_refuses_an_image_size_of_zero(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="image_size is 0; expected 1 or more"):
        folder_images(tmp_path, image_size=0)
