"""Every kind of picture becomes the right square of RGB bytes, or an error that names the file."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import (
    FILES,
    FLOATS,
    MODES,
    NO_ORIENTATION,
    ODD_EXIF,
    RED,
    STORED,
    UPRIGHT,
    exif_of,
    same_colour,
    saved,
    turned,
)
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from diffkiln.trainer.data.pictures import read_image, square_pixels
from diffkiln.trainer.errors import InputError

BLUE = (0, 0, 255)


def test_every_mode_of_pillow_is_known() -> None:
    assert {*MODES, "F"} == set(Image.MODES)


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode: str) -> None:
    for image, colour in MODES[mode]:
        assert same_colour(square_pixels(image, 2), colour, mode)


@pytest.mark.parametrize("kind", FILES)
def test_files_of_every_kind(tmp_path: Path, kind: str) -> None:
    contents, colour = FILES[kind]
    # A misleading name, as many files have.
    (tmp_path / "a.png").write_bytes(contents)
    assert same_colour(read_image(tmp_path / "a.png", 2), colour, kind)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 3)])
def test_odd_shapes(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, BLUE).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", 2) == BLUE).all()


def test_floating_point_pictures_are_refused() -> None:
    for image in FLOATS:
        with pytest.raises(ValueError, match=r"mode F; expected integers"):
            square_pixels(image, 2)


def test_the_centre_is_kept() -> None:
    wide = Image.new("RGB", (20_000, 50), BLUE)
    wide.paste(RED, (9_975, 0, 10_025, 50))
    assert (square_pixels(wide, 8) == RED).all()
    assert (square_pixels(wide.rotate(90, expand=True), 8) == RED).all()


def test_shrinking_averages() -> None:
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = square_pixels(Image.fromarray(checks), 8).astype(int)
    # The mean is 127.5; Lanczos overshoots a little at the edge of the picture.
    assert abs(pixels - 127.5).max() < 8


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(0, 255))
def test_any_size_keeps_a_plain_colour(width: int, height: int, side: int, level: int) -> None:
    pixels = square_pixels(Image.new("L", (width, height), level), side)
    np.testing.assert_array_equal(pixels, np.full((side, side, 3), level, np.uint8))


@pytest.mark.parametrize("orientation", STORED)
def test_the_orientation_of_exif_is_applied(tmp_path: Path, orientation: int) -> None:
    (tmp_path / "a").write_bytes(turned(orientation))
    assert (read_image(tmp_path / "a", 2) == UPRIGHT[..., None]).all()


@pytest.mark.parametrize("odd", ODD_EXIF)
def test_odd_exif_does_not_spoil_a_picture(tmp_path: Path, odd: str) -> None:
    (tmp_path / "a").write_bytes(turned(6, "JPEG", odd))
    pixels = read_image(tmp_path / "a", 2).astype(int)
    # JPEG's roundings.
    assert abs(pixels - UPRIGHT[..., None]).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("odd", [*NO_ORIENTATION, "damaged"])
def test_exif_without_an_orientation_turns_nothing(tmp_path: Path, kind: str, odd: str) -> None:
    exif = exif_of(*NO_ORIENTATION[odd]) if odd in NO_ORIENTATION else b"Exif\0\0no such header"
    whole = saved(Image.fromarray(UPRIGHT), kind, exif=exif, lossless=True)
    (tmp_path / "a").write_bytes(whole)
    assert (read_image(tmp_path / "a", 2) == UPRIGHT[..., None]).all()


@pytest.mark.parametrize("orientation", STORED)
def test_a_tiff_is_turned_once(tmp_path: Path, orientation: int) -> None:
    pixels = Image.fromarray(np.array(STORED[orientation], np.uint8).reshape(2, 2))
    pixels.save(tmp_path / "a.tiff", tiffinfo={0x0112: orientation})
    assert (read_image(tmp_path / "a.tiff", 2) == UPRIGHT[..., None]).all()


def test_xmp_of_a_wrong_type_does_not_spoil_a_tiff(tmp_path: Path) -> None:
    tags = ImageFileDirectory_v2()
    tags.tagtype[700] = TiffTags.SHORT
    tags[700] = 6
    Image.new("RGB", (4, 4), BLUE).save(tmp_path / "a.tiff", tiffinfo=tags)
    assert (read_image(tmp_path / "a.tiff", 2) == BLUE).all()


def test_a_large_jpeg_reads_like_its_full_decoding(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 1600, dtype=np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(np.stack([np.tile(ramp, (1200, 1))] * 3, axis=-1)).save(path)
    with Image.open(path) as image:
        expected = square_pixels(image, 32).astype(int)
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
    with pytest.raises(
        InputError,
        match=r"notes\.jpg' is no picture; expected one of JPEG, PNG, WEBP, GIF, .*; remove it",
    ):
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
