"""A photograph is read as the trainer reads its own, and a mask so that it lies over it."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import (
    FILES,
    FLOATS,
    MODES,
    ODD_EXIF,
    STORED,
    UPRIGHT,
    colour_profile,
    picture,
    png,
    same_colour,
    turned,
)
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from diffkiln.runtime import open_bundle
from diffkiln.runtime.bundle.conditions import Condition
from diffkiln.runtime.command.conditions import conditions_of
from diffkiln.runtime.command.options import parse_options
from diffkiln.runtime.command.photo import fitted, read_mask, read_photo, upright_size
from diffkiln.runtime.command.sample import OPTIONS
from diffkiln.runtime.output.images import masked
from diffkiln.trainer.data.colours import Colours
from diffkiln.trainer.data.pictures import read_image


def save(path: Path, image: Image.Image, **settings: Any) -> Path:
    image.save(path, **settings)
    return path


MODE_OF = {1: "L", 3: "RGB", 4: "RGBA"}
ENDINGS = ("png", "jpg", "webp", "gif", "bmp", "tiff", "ppm")


@given(width=st.integers(5, 90), height=st.integers(5, 90), ending=st.sampled_from(ENDINGS))
def test_a_photograph_is_read_as_in_training(
    width: int, height: int, ending: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("photo") / f"a.{ending}"
    save(path, picture(width, 90).crop((0, 0, width, height)))
    assert np.array_equal(read_photo(path, (16, 16, 3)), read_image(path, 16))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", MODES)
def test_modes(mode: str, channels: int) -> None:
    for image, colour in MODES[mode]:
        assert same_colour(fitted(image, (2, 2, channels)), colour, mode)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", FILES)
def test_files_of_every_kind(tmp_path: Path, kind: str, channels: int) -> None:
    contents, colour = FILES[kind]
    (tmp_path / "a.png").write_bytes(contents)
    assert same_colour(read_photo(tmp_path / "a.png", (2, 2, channels)), colour, kind)


def test_floating_point_pictures_are_refused() -> None:
    for image in FLOATS:
        with pytest.raises(ValueError, match="mode F; convert it to 8 or 16 bits"):
            fitted(image, (2, 2, 3))


@pytest.mark.parametrize("space", [b"RGB ", b"GRAY"])
def test_colour_profiles_count_as_in_training(space: bytes) -> None:
    image = picture(1, 16).convert("L" if space == b"GRAY" else "RGB")
    image.info["icc_profile"] = colour_profile(space)
    for channels in (1, 3):
        expected = np.asarray(Colours(channels).plain(image)).reshape(16, 16, channels)
        assert np.array_equal(fitted(image, (16, 16, channels)), expected)
        assert not np.array_equal(fitted(picture(1, 16), (16, 16, channels)), expected)


def test_levels_count_as_in_training(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16
    path = save(tmp_path / "a.png", Image.fromarray(levels))
    photo = read_photo(path, (16, 16, 1), (0, 4080))
    assert photo[..., 0].ravel().tolist() == list(range(256))
    floats = Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16))
    assert np.array_equal(fitted(floats, (16, 16, 1), (0, 1)), photo)


@pytest.mark.parametrize(("colour_type", "count"), [(2, 3), (4, 2), (6, 4)])
def test_colours_of_16_bits_have_no_levels(tmp_path: Path, colour_type: int, count: int) -> None:
    (tmp_path / "a.png").write_bytes(png(16, colour_type, *[4095] * count))
    with pytest.raises(ValueError, match="16-bit colours, of which only 8 bits can be read"):
        read_photo(tmp_path / "a.png", (2, 2, 3), (0, 4095))
    with pytest.raises(ValueError, match="16-bit colours, of which only 8 bits can be read"):
        read_image(tmp_path / "a.png", 2, colours=Colours(levels=(0, 4095)))


def test_colours_of_16_bits_a_pixel_are_read_with_levels(tmp_path: Path) -> None:
    header = struct.pack("<2s4I2i2H6I", b"BM", 70, 0, 66, 40, 1, 1, 1, 16, 3, *[0] * 5)
    masks = struct.pack("<3I", 0xF800, 0x7E0, 0x1F)
    (tmp_path / "a").write_bytes(header + masks + b"\xff\xff\0\0")
    assert (read_photo(tmp_path / "a", (2, 2, 3), (0, 4095)) == 255).all()
    assert (read_image(tmp_path / "a", 2, colours=Colours(levels=(0, 4095))) == 255).all()


def test_xmp_of_a_wrong_type_does_not_spoil_a_tiff(tmp_path: Path) -> None:
    tags = ImageFileDirectory_v2()
    tags.tagtype[700] = TiffTags.SHORT
    tags[700] = 6
    path = save(tmp_path / "a.tiff", Image.new("RGB", (4, 4), "blue"), tiffinfo=tags)
    assert (read_photo(path, (2, 2, 3)) == (0, 0, 255)).all()


@pytest.mark.parametrize("orientation", STORED)
def test_the_orientation_of_exif_is_applied(tmp_path: Path, orientation: int) -> None:
    (tmp_path / "a").write_bytes(turned(orientation))
    assert (read_photo(tmp_path / "a", (2, 2, 3)) == UPRIGHT[..., None]).all()


@pytest.mark.parametrize("odd", ODD_EXIF)
def test_odd_exif_does_not_spoil_a_picture(tmp_path: Path, odd: str) -> None:
    (tmp_path / "a").write_bytes(turned(6, "JPEG", odd))
    pixels = read_photo(tmp_path / "a", (2, 2, 1))[..., 0].astype(int)
    # JPEG's roundings.
    assert abs(pixels - UPRIGHT).max() <= 2


def test_damaged_exif_turns_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(UPRIGHT), exif=b"Exif\0\0no such header")
    assert (read_photo(path, (2, 2, 1))[..., 0] == UPRIGHT).all()


def test_the_size_is_that_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    path = save(tmp_path / "a.jpg", picture(1, 40).crop((0, 0, 40, 20)), exif=exif)
    assert upright_size(path) == (20, 40)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_photograph_has_the_shape_of_the_bundle(tmp_path: Path, channels: int) -> None:
    path = save(tmp_path / "a.png", picture(1, 60))
    assert read_photo(path, (8, 12, channels)).shape == (8, 12, channels)


def test_the_middle_of_the_wanted_shape_is_kept(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[10:30] = 200
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    assert (read_photo(path, (8, 16, 3)) == 200).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_bars_are_white_or_transparent(channels: int) -> None:
    red = Image.new("RGB", (16, 8), "red")
    pixels = fitted(red, (16, 16, channels), fit="pad")
    assert (pixels[4:12] == np.asarray(red.convert(MODE_OF[channels])).reshape(8, 16, -1)).all()
    bars = np.concatenate([pixels[:4], pixels[12:]])
    assert (bars == (0 if channels == 4 else 255)).all()


def test_bars_of_images_that_are_not_square() -> None:
    image = picture(1, 16).crop((0, 0, 16, 8))
    same = fitted(image, (8, 16, 3), fit="pad")
    assert np.array_equal(same, np.asarray(image))
    tall = fitted(image, (24, 16, 3), fit="pad")
    assert np.array_equal(tall[8:16], np.asarray(image))
    assert (np.concatenate([tall[:8], tall[16:]]) == 255).all()
    squeezed = fitted(image, (24, 10, 3), fit="stretch")
    expected = image.resize((10, 24), Image.Resampling.LANCZOS)
    assert np.array_equal(squeezed, np.asarray(expected))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_mask_lies_over_its_photograph(tmp_path: Path, fit: str) -> None:
    pixels = np.zeros((20, 50), np.uint8)
    pixels[5:12, 18:37] = 255
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    photo = read_photo(path, (16, 16, 1), fit=fit).copy()
    if fit == "pad":
        assert (photo[[*range(5), *range(11, 16)]] == 255).all()
        photo[[*range(5), *range(11, 16)]] = 0  # the bars, which stay as they are
    assert np.array_equal(read_mask(path, (16, 16, 3), fit), photo >= 128)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_picture_for_a_condition_is_fitted_like_a_photograph(
    tmp_path: Path, full_bundle: Path, fit: str
) -> None:
    path = save(tmp_path / "a.png", picture(1, 40).crop((0, 0, 40, 30)))
    sketch = Condition("sketch", "uint8", (8, 8, 3), 0, 255)
    bundle = open_bundle(full_bundle)._replace(conditions=(sketch,), fit=fit)
    values = parse_options(OPTIONS, [f"--condition=sketch={path}", "--out=a.png"])
    conditions = conditions_of(values, bundle)
    assert conditions is not None
    assert np.array_equal(conditions.rows["sketch"][0], read_photo(path, (8, 8, 3), fit=fit))


def test_a_mask_as_large_as_the_images_may_be_white_in_the_bars(tmp_path: Path) -> None:
    pixels = np.zeros((16, 16), np.uint8)
    pixels[:2] = 255
    path = save(tmp_path / "a.png", Image.fromarray(pixels))
    assert np.array_equal(read_mask(path, (16, 16, 3), "pad")[..., 0], pixels >= 128)


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
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for name in ("a.png", "a.eps"):
        with pytest.raises(ValueError, match=r"expected one of JPEG, PNG, WEBP, .*; convert it"):
            read_photo(tmp_path / name, (2, 2, 3))
    whole = save(tmp_path / "b.png", picture(1, 40)).read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot be decoded \("):
        read_photo(tmp_path / "b.png", (2, 2, 3))


def test_a_panorama_is_read_without_a_word(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("1", (12_000, 8_000)))
    assert upright_size(path) == (12_000, 8_000)
