"""Any picture in, one square of grey or RGB bytes out."""

import contextlib
import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError, _imaging
from PIL.PngImagePlugin import PngImageFile

from ..errors import InputError, first_line
from .colours import Colours
from .reading import READING_VERSION, reading

# A cheap box filter or JPEG's own scaling may shrink a picture to this many times its final size
# before Lanczos does the rest: the result hardly differs, and large pictures are much faster.
_REDUCING_GAP = 3.0
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A picture of this size shows whether it is grey. Lossy compression may tint grey by some levels.
_SMALL, _GREY = 32, 2
# What Pillow multiplies grey levels of 2 and 4 bits by, but not the level that is transparent.
_PNG_SCALES = {"L;2": 85, "L;4": 17}
# The raw modes of 16 bits of which Pillow reads only the high bytes; BGR;16 has 16 bits a pixel.
_HIGH_BYTES = re.compile(r"(RGB\w*|CMYK\w*|LA);16")


def read_image(
    path: Path,
    image_size: int,
    formats: tuple[str, ...] | None = None,
    colours: Colours | None = None,
    fit: str = "crop",
) -> NDArray[np.uint8]:
    """Return the picture in a file as `square_pixels` does, uint8 [image_size, image_size, C].

    It is decoded from one of `formats`, by default all of `reading`, whatever its name; of several
    frames, the first one. Raises FileNotFoundError if path is not a file, another OSError if it
    cannot be opened, and InputError (a ValueError) if it does not decode to a whole picture. All of
    them name the path.
    """
    with _opened(path, image_size, formats or reading(READING_VERSION).formats) as image:
        _require_all_bits(image, colours)
        _scale_transparent_level(image)
        return square_pixels(image, image_size, colours, fit)


def survey(
    path: Path, formats: tuple[str, ...], levels: tuple[float, float] | None, fit: str
) -> tuple[bool, int | None]:
    """Whether a picture is grey where `fit` shows it, and its highest level if it has over 8 bits.

    Raises what `read_image` raises.
    """
    with _opened(path, _SMALL, formats) as image:
        pixels = square_pixels(image, _SMALL, Colours(levels=levels), fit).astype(np.int64)
        highest = int(np.asarray(image).max()) if image.mode.startswith("I") else None
    return bool(np.ptp(pixels, axis=-1).max() <= _GREY), highest


@contextlib.contextmanager
def _opened(path: Path, image_size: int, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """A picture that is large enough for images of this size; raises what `read_image` raises."""
    name = repr(str(path))
    # Opening a named pipe would wait forever.
    if not path.is_file():
        raise FileNotFoundError(f"{name} is not a file; expected a picture; check the path")
    with path.open("rb") as file:
        try:
            with Image.open(file, formats=formats) as image:
                least = int(_REDUCING_GAP * image_size)
                image.draft(None, (least, least))
                yield image
        except UnidentifiedImageError as error:
            expected = f"expected one of {', '.join(formats)}"
            raise InputError(f"{name} is no picture; {expected}; remove it") from error
        except Exception as error:
            # What damage makes a decoder raise is not documented, and means the same to a user.
            message = f"{name} cannot be decoded ({first_line(error)}); expected a whole picture"
            raise InputError(f"{message}; replace or remove it") from error


def quiet_decoders() -> None:
    """Stop libtiff from printing to stderr what Pillow raises too; only for commands."""
    with contextlib.suppress(AttributeError, OSError):  # where libtiff is built in or missing
        libtiff = ctypes.CDLL(_imaging.__file__)
        libtiff.TIFFSetErrorHandler(None)
        libtiff.TIFFSetWarningHandler(None)


def square_pixels(
    image: Image.Image, image_size: int, colours: Colours | None = None, fit: str = "crop"
) -> NDArray[np.uint8]:
    """Return a picture as a square, uint8 [image_size, image_size, C] in its `colours`.

    By `fit`, it shows the picture's middle (crop), all of it between white bars (pad), or all of it
    squeezed (stretch). The EXIF orientation is applied, and the picture is resized with an
    antialiased Lanczos filter. Raises ValueError for what `Colours.plain` refuses.
    """
    colours, square = colours or Colours(), (image_size, image_size)
    upright = _upright(image)
    shown = _largest(upright.size, square) if fit == "crop" else upright.size
    plain = colours.plain(upright.crop(_middle(upright.size, shown)))
    size = _largest(square, plain.size) if fit == "pad" else square
    resized = plain.resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    # White is behind transparent pictures too, and continues drawings on white without an edge.
    pixels = Image.new(plain.mode, square, "white")
    pixels.paste(resized, _middle(square, size))
    return np.asarray(pixels).reshape(*square, colours.channels)


def _largest(within: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """The largest (width, height) within another that has the proportions of `shape`."""
    across = round(within[1] * shape[0] / shape[1])
    down = round(within[0] * shape[1] / shape[0])
    return min(within[0], max(across, 1)), min(within[1], max(down, 1))


def _middle(size: tuple[int, int], part: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box of a part in the middle: left, top, right, bottom."""
    left, top = (size[0] - part[0]) // 2, (size[1] - part[1]) // 2
    return left, top, left + part[0], top + part[1]


def _upright(image: Image.Image) -> Image.Image:
    """Turn a picture as its EXIF says, if that can be read at all.

    Pillow's `exif_transpose` fails on EXIF that it cannot write back.
    """
    # Pillow turns a TIFF itself while it loads it, and then removes its orientation; it looks for
    # one in XMP of any type.
    if not isinstance(image.info.get("xmp", b""), bytes):
        del image.info["xmp"]
    image.load()
    try:
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        # Damaged EXIF raises many kinds of errors, and does not spoil the pixels.
        return image
    return image if turn is None else image.transpose(turn)


def _require_all_bits(image: Image.Image, colours: Colours | None) -> None:
    """Raise ValueError for a picture of whose levels Pillow drops some that count."""
    deep = _HIGH_BYTES.search(str(getattr(image, "tile", "")))
    if deep and colours and colours.levels:
        raise ValueError("16-bit colours, of which only 8 bits can be read")


def _scale_transparent_level(image: Image.Image) -> None:
    """Scale the transparent level of a PNG as Pillow scales its pixels to 8 bits.

    Of 16-bit colours Pillow keeps the high bytes, so the transparent one is compared by these.
    """
    level = image.info.get("transparency")
    if level is None or not isinstance(image, PngImageFile):
        return
    raw_mode = image.tile[0].args
    if raw_mode in _PNG_SCALES:
        image.info["transparency"] = level * _PNG_SCALES[raw_mode]
    elif raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(part >> 8 for part in level)
