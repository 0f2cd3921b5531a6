"""Images are laid out, converted and written exactly, and whole or not at all."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diffkiln.runtime.atomic import atomic
from diffkiln.runtime.images import GAP, enlarge, grid, save_folder, save_gif, save_png, to_uint8

RANDOM = np.random.default_rng(0)


def images(count: int, channels: int = 3, height: int = 4, width: int = 5) -> np.ndarray:
    return RANDOM.integers(0, 256, (count, height, width, channels), np.uint8)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_grid_pads_an_odd_count_with_white() -> None:
    ones = np.arange(1, 4, dtype=np.uint8).reshape(3, 1, 1, 1)
    white = [255] * 4
    expected = [[1, 255, 255, 2], white, white, [3, 255, 255, 255]]
    assert grid(ones)[..., 0].tolist() == expected


@given(count=st.integers(1, 30))
def test_a_grid_holds_every_image_and_is_near_a_square(count: int) -> None:
    square = np.full((count, 2, 2, 1), 7, np.uint8)
    picture = grid(square)
    rows, columns = ((side + GAP) // (2 + GAP) for side in picture.shape[:2])
    assert (picture == 7).sum() == count * 4
    assert 0 <= columns - rows <= 1


def test_floats_are_clipped_and_rounded() -> None:
    values = np.array([-1, 0, 0.5 / 255 + 1e-6, 0.5, 1, 2], np.float32).reshape(6, 1, 1, 1)
    assert to_uint8(values).ravel().tolist() == [0, 0, 1, 128, 255, 255]


@pytest.mark.parametrize(
    "wrong",
    [
        np.full((1, 2, 2, 3), np.nan, np.float32),
        np.zeros((1, 2, 2, 3), np.int64),
        np.zeros((2, 2, 3), np.uint8),
        np.zeros((1, 2, 2, 2), np.uint8),
        np.zeros((0, 2, 2, 3), np.uint8),
    ],
)
def test_what_is_no_images(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        to_uint8(wrong)


def test_enlarging_repeats_pixels() -> None:
    pair = np.array([[[[1], [2]]]], np.uint8)
    assert enlarge(pair, 2)[0, ..., 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_is_read_back_exactly(tmp_path: Path, channels: int) -> None:
    image = images(1, channels)[0]
    save_png(tmp_path / "a.png", image)
    assert np.array_equal(read(tmp_path / "a.png").reshape(image.shape), image)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_gif_holds_its_last_frame(tmp_path: Path, channels: int) -> None:
    save_gif(tmp_path / "a.gif", images(3, channels))
    with Image.open(tmp_path / "a.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 3
        assert animation.info["loop"] == 0
        animation.seek(2)
        assert animation.info["duration"] == 2000


def test_a_gif_of_few_colours_is_exact(tmp_path: Path) -> None:
    frames = images(2)
    save_gif(tmp_path / "a.gif", frames)
    with Image.open(tmp_path / "a.gif") as animation:
        animation.seek(1)
        assert np.array_equal(np.asarray(animation.convert("RGB")), frames[1])


def test_a_gif_needs_a_frame(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="received none"):
        save_gif(tmp_path / "a.gif", [])
    assert not list(tmp_path.iterdir())


def test_a_folder_is_named_by_seeds(tmp_path: Path) -> None:
    first, second = images(2), images(1)
    save_folder(tmp_path / "out", [first, second], seed=9)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["00000009.png", "00000010.png", "00000011.png"]
    assert np.array_equal(read(tmp_path / "out" / "00000011.png"), second[0])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    save_folder(tmp_path / "out", [images(1)])
    assert (tmp_path / "out" / "00000000.png").is_file()


def test_a_filled_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OSError, match="could not be written: Directory not empty"):
        save_folder(tmp_path, [images(1)])
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_folder_that_fails_midway_is_not_there(tmp_path: Path) -> None:
    def batches() -> Iterator[np.ndarray]:
        yield images(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_folder(tmp_path / "out", batches())
    assert not list(tmp_path.iterdir())


def test_a_file_that_fails_midway_keeps_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic(tmp_path / "a") as temporary:
        fail(temporary)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_target_that_cannot_be_replaced_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError, match=r"a\.png could not be written: "):
        save_png(tmp_path / "a.png", images(1)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"no/out could not be written: No such file"),
        atomic(tmp_path / "no" / "out") as temporary,
    ):
        temporary.mkdir()
