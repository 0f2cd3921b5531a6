"""Every kind of picture becomes the right square of RGB bytes, or an error that names the file."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from diffkiln.trainer.data.pictures import read_image, square_rgb
from diffkiln.trainer.errors import InputError

RED, BLUE = (255, 0, 0), (0, 0, 255)


def _plain(mode: str, value: int | tuple[int, ...]) -> Image.Image:
    return Image.new(mode, (4, 4), value)


def _left_red_right_blue() -> Image.Image:
    picture = Image.new("RGB", (8, 8), BLUE)
    picture.paste(RED, (0, 0, 4, 8))
    return picture


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (_plain("RGB", (1, 2, 3)), (1, 2, 3)),
        (_plain("L", 77), (77, 77, 77)),
        (_plain("1", 1), (255, 255, 255)),
        (_plain("1", 0), (0, 0, 0)),
        (_plain("CMYK", (0, 255, 255, 0)), RED),
        (_plain("LA", (77, 255)), (77, 77, 77)),
        (_plain("LA", (77, 0)), (255, 255, 255)),
        (_plain("RGBA", (9, 8, 7, 255)), (9, 8, 7)),
        (_plain("RGBA", (9, 8, 7, 0)), (255, 255, 255)),
        (_plain("RGBA", (255, 0, 0, 128)), (255, 127, 127)),
        (_plain("RGB", RED).quantize(2), RED),
        (_plain("I;16", 65535), (255, 255, 255)),
        (_plain("I;16", 128 * 257), (128, 128, 128)),
        (_plain("I;16B", 128 * 257), (128, 128, 128)),
        (_plain("I", 65535), (255, 255, 255)),
        (_plain("I", -5), (0, 0, 0)),
    ],
)
def test_modes(picture: Image.Image, expected: tuple[int, ...]) -> None:
    pixels = square_rgb(picture, 2)
    np.testing.assert_array_equal(pixels, np.full((2, 2, 3), expected, np.uint8))


@pytest.mark.parametrize(
    ("picture", "transparent"),
    [
        (_plain("L", 9), 9),
        (_plain("I;16", 2313), 2313),
        (_plain("RGB", RED), RED),
        (_plain("RGB", RED).quantize(2), 0),
    ],
)
def test_a_png_with_a_transparent_colour_is_laid_over_white(
    tmp_path: Path, picture: Image.Image, transparent: int | tuple[int, ...]
) -> None:
    path = tmp_path / "transparent.png"
    picture.save(path, transparency=transparent)
    assert read_image(path, 1).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize(
    ("name", "picture", "expected"),
    [
        ("grey.jpg", _plain("L", 77), (77, 77, 77)),
        ("grey-alpha.png", _plain("LA", (77, 0)), (255, 255, 255)),
        ("alpha.png", _plain("RGBA", (255, 0, 0, 128)), (255, 127, 127)),
        ("inks.jpg", _plain("CMYK", (0, 255, 255, 0)), RED),
        ("deep.png", _plain("I;16", 128 * 257), (128, 128, 128)),
        ("one.png", Image.new("RGB", (1, 1), BLUE), BLUE),
        ("wide.png", Image.new("RGB", (20_000, 3), BLUE), BLUE),
        ("bits.png", _plain("1", 1), (255, 255, 255)),
    ],
)
def test_files_of_every_kind(
    tmp_path: Path, name: str, picture: Image.Image, expected: tuple[int, ...]
) -> None:
    picture.save(tmp_path / name)
    pixels = read_image(tmp_path / name, 2).astype(int)
    # JPEG rounds plain colours by a level or two.
    assert abs(pixels - expected).max() <= (2 if name.endswith("jpg") else 0)


def test_floating_point_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"mode F; expected integers"):
        square_rgb(Image.new("F", (4, 4)), 2)


def test_the_centre_is_kept() -> None:
    wide = Image.new("RGB", (20_000, 50), BLUE)
    wide.paste(RED, (9_975, 0, 10_025, 50))
    assert (square_rgb(wide, 8) == RED).all()
    assert (square_rgb(wide.rotate(90, expand=True), 8) == RED).all()


def test_shrinking_averages() -> None:
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = square_rgb(Image.fromarray(checks), 8).astype(int)
    # The mean is 127.5; Lanczos overshoots a little at the edge of the picture.
    assert abs(pixels - 127.5).max() < 8


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(0, 255))
def test_any_size_keeps_a_plain_colour(width: int, height: int, side: int, level: int) -> None:
    pixels = square_rgb(Image.new("L", (width, height), level), side)
    np.testing.assert_array_equal(pixels, np.full((side, side, 3), level, np.uint8))


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
def test_the_orientation_of_exif_is_applied(tmp_path: Path, name: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise: the left side is the top
    path = tmp_path / name
    _left_red_right_blue().save(path, exif=exif)
    pixels = read_image(path, 8).astype(int)
    # JPEG quantises the step between two pure colours by about 10 levels of 255.
    assert abs(pixels[0] - RED).max() < 20
    assert abs(pixels[-1] - BLUE).max() < 20


def test_a_large_jpeg_reads_like_its_full_decoding(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 1600, dtype=np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(np.stack([np.tile(ramp, (1200, 1))] * 3, axis=-1)).save(path)
    with Image.open(path) as image:
        expected = square_rgb(image, 32).astype(int)
    # Decoding at 1/8 averages blocks exactly, so that only roundings remain.
    assert abs(read_image(path, 32) - expected).max() <= 2


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "bmp"])
def test_a_truncated_file_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"cut.{ending}"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(InputError, match=rf"cut\.{ending}' cannot be decoded .*replace or remove"):
        read_image(path, 8)


def test_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture")
    with pytest.raises(InputError, match=r"notes\.jpg' is no picture; expected a JPEG or PNG"):
        read_image(path, 8)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\1IDAT")
    with pytest.raises(InputError, match=r"bomb\.png' cannot be decoded .*3600000000 pixels"):
        read_image(path, 8)


def test_a_missing_file_and_a_folder_are_no_files(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"{path.name}' is not a file"):
            read_image(path, 8)
