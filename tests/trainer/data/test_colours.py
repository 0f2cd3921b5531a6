"""Pictures of many levels and of other colour spaces become 8 bits of sRGB."""

import io

import numpy as np
import pytest
from pictures import colour_profile
from PIL import Image

from diffkiln.trainer.data.colours import Colours

LEVELS = np.arange(64).reshape(8, 8)


def pixels(image: Image.Image, colours: Colours) -> np.ndarray:
    return np.asarray(colours.plain(image))


def test_levels_say_what_is_black_and_what_is_white() -> None:
    twelve_bits = Image.fromarray((LEVELS * 65).astype(np.uint16))
    grey = pixels(twelve_bits, Colours(1, (0, 4095)))
    assert grey.tolist() == np.rint(LEVELS * 65 * 255 / 4095).tolist()
    assert len(np.unique(pixels(twelve_bits, Colours(1)))) == 17
    outside = pixels(Image.fromarray((LEVELS * 100).astype(np.int32)), Colours(1, (1000, 5000)))
    assert (outside[0, 0], outside[-1, -1]) == (0, 255)


def test_levels_of_16_bits_are_divided_by_257() -> None:
    levels = np.arange(65536).reshape(256, 256).astype(np.uint16)
    expected = (levels.astype(int) + 128) // 257
    assert pixels(Image.fromarray(levels), Colours(1)).tolist() == expected.tolist()


def test_levels_leave_pictures_of_8_bits_alone() -> None:
    image = Image.fromarray(LEVELS.astype(np.uint8))
    assert pixels(image, Colours(1, (0, 4095))).tolist() == LEVELS.tolist()


def test_floats_need_levels() -> None:
    floats = LEVELS.astype(np.float32) / 63
    floats[0, 0] = np.nan
    with pytest.raises(ValueError, match="mode F; expected integers"):
        Colours().plain(Image.fromarray(floats))
    grey = pixels(Image.fromarray(floats), Colours(1, (0.0, 1.0)))
    assert grey.tolist() == np.floor(LEVELS * 255 / 63 + 0.5).tolist()


def test_grey_is_the_luma_of_colours() -> None:
    assert pixels(Image.new("RGB", (1, 1), (255, 0, 0)), Colours(1)).tolist() == [[76]]
    assert pixels(Image.new("LA", (1, 1), (0, 0)), Colours(1)).tolist() == [[255]]


def with_profile(image: Image.Image, content: bytes) -> Image.Image:
    """The picture as it is read from a file with this colour profile."""
    file = io.BytesIO()
    image.save(file, "PNG", icc_profile=content)
    return Image.open(file)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_profile_of_rgb_counts(mode: str) -> None:
    red = with_profile(Image.new("RGB", (1, 1), (255, 0, 0)).convert(mode), colour_profile(b"RGB "))
    # Six digits of the primaries leave an error of less than a level.
    np.testing.assert_allclose(pixels(red, Colours()), [[[0, 255, 0]]], atol=1)
    assert pixels(red, Colours(profiles=False)).tolist() == [[[255, 0, 0]]]


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_profile_of_grey_counts(mode: str) -> None:
    image = Image.new(mode, (1, 1), {"L": 128, "LA": (128, 255), "I;16": 128 * 257}[mode])
    grey = with_profile(image, colour_profile(b"GRAY"))
    # 128/255 of the light is level 188 of sRGB.
    for channels in (1, 3):
        assert np.unique(pixels(grey, Colours(channels))).tolist() == [188]


@pytest.mark.parametrize(
    "content",
    [
        b"no profile",
        colour_profile(b"RGB ")[:200],
        colour_profile(b"CMYK"),
        colour_profile(b"GRAY"),
        colour_profile(b"RGB ", b"sRGB of another program"),
    ],
)
def test_other_profiles_do_not_count(content: bytes) -> None:
    image = with_profile(Image.new("RGB", (1, 1), (255, 0, 0)), content)
    assert pixels(image, Colours()).tolist() == [[[255, 0, 0]]]


def test_transparency_stays() -> None:
    clear = with_profile(Image.new("RGBA", (1, 1), (255, 0, 0, 0)), colour_profile(b"RGB "))
    assert pixels(clear, Colours()).tolist() == [[[255, 255, 255]]]
