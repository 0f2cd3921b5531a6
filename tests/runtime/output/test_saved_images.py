"""Images are laid out, converted and written exactly, and whole or not at all."""

import os
import stat
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mounts import run_mounted
from PIL import Image

from diffkiln.runtime.output.atomic import atomic
from diffkiln.runtime.output.folder import fill_folder, missing, open_folder
from diffkiln.runtime.output.gif import save_gif
from diffkiln.runtime.output.images import (
    GAP,
    enlarge,
    grid,
    image_grid,
    save_picture,
    to_uint8,
)
from diffkiln.runtime.output.npz import save_arrays

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


def test_a_notebook_shows_a_grid() -> None:
    five = images(5, channels=1)
    picture = image_grid(five, scale=3)
    assert picture == image_grid(list(five), scale=3)
    assert np.array_equal(np.asarray(picture), enlarge(grid(five)[np.newaxis], 3)[0, ..., 0])
    assert (picture._repr_png_() or b"").startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="scale=0: expected a whole number from 1 to 64"):
        image_grid(five, scale=0)
    with pytest.raises(ValueError, match="images: expected lists of one length"):
        image_grid([*five, five[0, 1:]])


def test_a_strip_is_one_row() -> None:
    assert grid(np.zeros((5, 2, 3, 1), np.uint8), one_row=True).shape == (2, 5 * 3 + 4 * GAP, 1)


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
def test_wrong_arrays_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        to_uint8(wrong)


def test_enlarging_repeats_pixels() -> None:
    pair = np.array([[[[1], [2]]]], np.uint8)
    assert enlarge(pair, 2)[0, ..., 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_is_read_back_exactly(tmp_path: Path, channels: int) -> None:
    image = images(1, channels)[0]
    save_picture(tmp_path / "a.png", image)
    assert np.array_equal(read(tmp_path / "a.png").reshape(image.shape), image)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_webp_keeps_every_pixel(tmp_path: Path, channels: int) -> None:
    image = images(1, channels)[0]
    save_picture(tmp_path / "a.webp", image)
    with Image.open(tmp_path / "a.webp") as picture:
        read_back = np.asarray(picture.convert("RGBA" if channels == 4 else "RGB"))
    assert np.array_equal(read_back, np.broadcast_to(image, read_back.shape))


@pytest.mark.parametrize("ending", [".jpg", ".JPEG"])
def test_a_jpeg_comes_close(tmp_path: Path, ending: str) -> None:
    colours = np.zeros((16, 16, 4), np.uint8)
    colours[..., 0], colours[:8, :, 3] = 200, 255  # red above, and transparent below
    save_picture(tmp_path / f"a{ending}", colours)
    received = read(tmp_path / f"a{ending}").astype(int)
    expected = np.where(colours[..., 3:], [200, 0, 0], 255)
    assert np.abs(received - expected).max() < 16  # of 255: the edge is what a JPEG blurs


def frames_of(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """The frames of an animation in RGB, and how long each is shown, in ms."""
    frames, durations_ms = [], []
    with Image.open(path) as animation:
        for number in range(getattr(animation, "n_frames", 1)):
            animation.seek(number)
            frames.append(np.asarray(animation.convert("RGB")))
            durations_ms.append(animation.info["duration"])
    return frames, durations_ms


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gif_of_few_colours_is_exact(tmp_path: Path, channels: int) -> None:
    frames = images(3, channels)
    save_gif(tmp_path / "a.gif", frames)
    read_back, durations_ms = frames_of(tmp_path / "a.gif")
    assert np.array_equal(read_back, np.broadcast_to(frames, (3, 4, 5, 3)))
    assert durations_ms == [80, 80, 2000]


def test_a_gif_lays_transparency_over_white(tmp_path: Path) -> None:
    clear, solid = np.zeros((2, 2, 4), np.uint8), np.full((2, 2, 4), 255, np.uint8)
    solid[..., :3] = (10, 20, 30)
    save_gif(tmp_path / "a.gif", [clear, solid])
    frames, _ = frames_of(tmp_path / "a.gif")
    assert [frame[0, 0].tolist() for frame in frames] == [[255, 255, 255], [10, 20, 30]]


def test_a_gif_has_one_palette(tmp_path: Path) -> None:
    frames = images(4, height=30, width=30)
    save_gif(tmp_path / "a.gif", frames, scale=2)
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.size == (60, 60)
    assert local_palettes((tmp_path / "a.gif").read_bytes()) == [False] * 4


def local_palettes(gif: bytes) -> list[bool]:
    """Whether each frame has its own palette, by the blocks of GIF89a."""

    def after(place: int) -> int:
        while gif[place]:
            place += gif[place] + 1
        return place + 1

    palettes, place = [], 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    while gif[place : place + 1] != b";":
        if gif[place : place + 1] == b"!":
            place = after(place + 2)
        else:
            flags = gif[place + 9]
            palettes.append(bool(flags & 128))
            place = after(place + 11 + (3 * 2 ** ((flags & 7) + 1) if flags & 128 else 0))
    return palettes


def test_a_gif_goes_there_and_back(tmp_path: Path) -> None:
    frames = images(4)
    save_gif(tmp_path / "a.gif", frames, there_and_back=True)
    read_back, durations_ms = frames_of(tmp_path / "a.gif")
    assert np.array_equal(read_back, frames[[0, 1, 2, 3, 2, 1]])
    assert durations_ms == [600, 80, 80, 600, 80, 80]


def test_a_gif_needs_a_frame(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="received none"):
        save_gif(tmp_path / "a.gif", [])
    assert not list(tmp_path.iterdir())


def test_a_folder_is_named_by_seeds(tmp_path: Path) -> None:
    first, second = images(2), images(1)
    fill_folder(tmp_path, [first, second], range(9, 12))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["00000009.png", "00000010.png", "00000011.png"]
    assert np.array_equal(read(tmp_path / "00000011.png"), second[0])


def test_a_filled_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files, expected a new or empty folder"):
        open_folder(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_prepared_folder_and_a_file_keep_their_modes(tmp_path: Path) -> None:
    (folder := tmp_path / "out").mkdir()
    folder.chmod(0o2770)
    (folder / "lost+found").mkdir()  # as on a disk that was just formatted
    open_folder(folder, {})
    fill_folder(folder, [images(1)], [0])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2770
    (folder / "00000000.png").chmod(0o640)
    save_picture(folder / "00000000.png", images(1)[0])
    assert stat.S_IMODE((folder / "00000000.png").stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_folder_behind_a_link_is_made_and_a_pipe_in_it_replaced(tmp_path: Path) -> None:
    (link := tmp_path / "link").symlink_to("new")
    open_folder(link, {})
    os.mkfifo(link / "00000000.png")
    assert missing(link, np.arange(1)).tolist() == [0]  # without waiting for a writer
    fill_folder(link, [images(1)], [0])
    assert (tmp_path / "new" / "00000000.png").is_file()


def test_arrays_are_read_back(tmp_path: Path) -> None:
    first, second = images(2), images(1)
    others = {"seeds": np.arange(3), "name": np.array("flowers")}
    about: Any = {"shape": (3, 4, 5, 3), "dtype": "uint8", "others": others}
    save_arrays(tmp_path / "a.npz", "images", [first, second], **about)
    with np.load(tmp_path / "a.npz") as arrays:
        assert np.array_equal(arrays["images"], np.concatenate([first, second]))
        assert arrays["seeds"].tolist() == [0, 1, 2]
        assert str(arrays["name"]) == "flowers"


def test_many_arrays_need_the_memory_of_one_batch(tmp_path: Path) -> None:
    batch = np.zeros((16, 64, 64, 3), np.uint8)
    tracemalloc.start()
    save_arrays(
        tmp_path / "a.npz",
        "images",
        (batch + 1 for _ in range(100)),
        shape=(1600, 64, 64, 3),
        dtype="uint8",
        others={},
    )
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The batch that is written, as bytes too, and the one after it; not the hundred of them.
    assert peak_bytes < 5 * batch.nbytes


def test_a_folder_that_fails_midway_keeps_what_is_made(tmp_path: Path) -> None:
    def batches() -> Iterator[np.ndarray]:
        yield images(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_folder(tmp_path, batches(), range(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000000.png", "00000001.png"]


def test_a_file_that_fails_midway_keeps_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic(tmp_path / "a") as temporary:
        fail(temporary)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_target_that_cannot_be_replaced_does_not_cost_the_picture(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    image = images(1)[0]
    with pytest.raises(
        OSError, match=r"a\.png could not be written: .* complete file is"
    ) as caught:
        save_picture(tmp_path / "a.png", image)
    _, _, kept = str(caught.value).partition("the complete file is ")
    assert np.array_equal(read(Path(kept)), image)


@pytest.mark.slow
def test_a_mounted_file_is_filled(tmp_path: Path) -> None:
    (source := tmp_path / "source.png").touch()
    (target := tmp_path / "a.png").touch()
    code = (
        "import numpy, pathlib; from diffkiln.runtime.output.images import save_picture; "
        f"save_picture(pathlib.Path({str(target)!r}), numpy.full((2, 2, 3), 7, numpy.uint8))"
    )
    done = run_mounted(source, target, [sys.executable, "-c", code])
    assert (done.returncode, done.stderr) == (0, "")
    assert (read(source) == 7).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "source.png"]


def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"out could not be written: "),
        atomic(tmp_path / "no" / "out") as temporary,
    ):
        temporary.mkdir()
