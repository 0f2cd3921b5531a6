"""A photograph is read as the trainer reads its own, and a mask so that it lies over it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import picture
from PIL import Image

from diffkiln.runtime.command.photo import read_mask, read_photo, upright_size
from diffkiln.runtime.output.images import masked
from diffkiln.trainer.data.pictures import read_image


def save(path: Path, image: Image.Image, **settings: Any) -> Path:
    image.save(path, **settings)
    return path


@given(width=st.integers(5, 90), height=st.integers(5, 90), ending=st.sampled_from(["png", "jpg"]))
def test_a_photograph_is_read_as_in_training(
    width: int, height: int, ending: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("photo") / f"a.{ending}"
    save(path, picture(width, 90).crop((0, 0, width, height)))
    assert np.array_equal(read_photo(path, (16, 16, 3)), read_image(path, 16))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_pixels_is_read_as_in_training(tmp_path: Path, mode: str) -> None:
    grey = np.arange(0, 65536, 16).astype(np.uint16).reshape(64, 64)
    image = Image.fromarray(grey) if mode == "I;16" else picture(1, 64).convert(mode)
    path = save(tmp_path / "a", image, format="JPEG" if mode == "CMYK" else "PNG")
    assert np.array_equal(read_photo(path, (16, 16, 3)), read_image(path, 16))


def test_the_orientation_of_a_camera_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    path = save(tmp_path / "a.jpg", picture(1, 40).crop((0, 0, 40, 20)), exif=exif)
    assert upright_size(path) == (20, 40)
    assert np.array_equal(read_photo(path, (16, 16, 3)), read_image(path, 16))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_photograph_has_the_shape_of_the_bundle(tmp_path: Path, channels: int) -> None:
    path = save(tmp_path / "a.png", picture(1, 60))
    assert read_photo(path, (8, 12, channels)).shape == (8, 12, channels)


def test_the_middle_of_the_wanted_shape_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[10:30] = 200
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    assert (read_photo(path, (8, 16, 3)) == 200).all()


def test_a_mask_is_white_by_half_or_more(tmp_path: Path) -> None:
    grey = np.array([[0, 127], [128, 255]], np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(grey))
    mask = read_mask(path, (2, 2, 3))
    assert (mask.shape, mask.dtype) == ((2, 2, 1), np.uint8)
    assert mask[..., 0].tolist() == [[0, 0], [1, 1]]
    shown = masked(np.full((2, 2, 3), 9, np.uint8), mask)
    assert shown[..., 0].tolist() == [[9, 9], [127, 127]]


def test_a_mask_is_not_black_all_over(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("L", (4, 4)))
    with pytest.raises(ValueError, match="black all over; expected white"):
        read_mask(path, (2, 2, 3))


def test_what_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a file"):
        read_photo(tmp_path, (2, 2, 3))
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(ValueError, match="is no picture"):
        read_photo(tmp_path / "a.png", (2, 2, 3))
    whole = save(tmp_path / "b.png", picture(1, 40)).read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot be decoded \("):
        read_photo(tmp_path / "b.png", (2, 2, 3))


def test_a_panorama_is_read_without_a_word(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("1", (12_000, 8_000)))
    assert upright_size(path) == (12_000, 8_000)
