"""Reads a photograph and a mask at a bundle's size, the photograph as the trainer reads its own."""

import contextlib
import functools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features
from PIL.PngImagePlugin import PngImageFile

from ..bundle.bundle import Bundle
from .colours import plain
from .options import bad_flag

Content = TypeVar("Content")

# Files are often misnamed, so the ending does not choose the format. Formats that Pillow hands to
# another program (EPS) stay out.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF")
# A cheap box filter or JPEG's own scaling may shrink a picture to this many times its final size.
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
# What Pillow multiplies grey levels of 2 and 4 bits by, but not the level that is transparent.
_PNG_SCALES = {"L;2": 85, "L;4": 17}
# The raw modes of 16 bits of which Pillow reads only the high bytes; BGR;16 has 16 bits a pixel.
_HIGH_BYTES = re.compile(r"(RGB\w*|CMYK\w*|LA);16")


def photo_of(flag: str, values: Mapping[str, Any], bundle: Bundle) -> np.ndarray:
    """Return the photograph of a flag in the bundle's size and dtype."""
    shape, levels, fit = bundle.sample_shape, bundle.levels, bundle.fit
    photo = _read(flag, values[flag], lambda path: read_photo(path, shape, levels, fit))
    return photo if bundle.sample_dtype == "uint8" else photo.astype(np.float32) / np.float32(255)


def small_photo_of(flag: str, values: Mapping[str, Any], bundle: Bundle, most: int) -> np.ndarray:
    """Return the picture of a flag as it is, uint8 [height, width, channels]; see `read_whole`."""
    channels, levels = bundle.sample_shape[-1], bundle.levels
    return _read(flag, values[flag], lambda path: read_whole(path, channels, levels, most))


def mask_of(values: Mapping[str, Any], bundle: Bundle) -> np.ndarray:
    """Return the mask, uint8 [height, width, 1]; UsageError unless it fits the photograph."""
    height, width, _ = bundle.sample_shape
    photo_size = _read("inpaint", values["inpaint"], upright_size)
    size = _read("mask", values["mask"], upright_size)
    if size not in (photo_size, (width, height)):
        has, wanted = (" x ".join(map(str, pair)) for pair in (size, photo_size))
        wanted = f"{wanted} like the photograph, or {width} x {height} like the bundle"
        raise bad_flag("mask", values["mask"], f"has {has} pixels, expected {wanted}; resize it")
    return _read(
        "mask", values["mask"], lambda path: read_mask(path, bundle.sample_shape, bundle.fit)
    )


def _read(flag: str, path: Path, reader: Callable[[Path], Content]) -> Content:
    try:
        return reader(path)
    except ValueError as error:
        raise bad_flag(flag, path, str(error)) from error


def read_photo(
    path: Path,
    shape: tuple[int, ...],
    levels: tuple[float, float] | None = None,
    fit: str = "crop",
    bars: str | None = None,
) -> np.ndarray:
    """Return the picture in a file as `fitted` does, uint8 [height, width, channels] of `shape`.

    Raises ValueError with the reason if it is not a whole picture.
    """
    with _opened(path, max(shape[:2])) as picture:
        _require_all_bits(picture, levels)
        return fitted(picture, shape, levels, fit, bars)


def read_whole(
    path: Path, channels: int, levels: tuple[float, float] | None, most: int
) -> np.ndarray:
    """Return the picture in a file in its own size, uint8 [height, width, channels].

    Like `fitted`, it is turned upright and has the colours of `plain`. Raises ValueError with the
    reason if it is not a whole picture, or if it has more than `most` pixels.
    """
    with _opened(path) as picture:
        count = picture.width * picture.height
        if count <= most:
            _require_all_bits(picture, levels)
            pixels = np.array(plain(_upright(picture), channels, levels))
            pixels = pixels.reshape(*pixels.shape[:2], channels)
            if channels == 4:  # resizing, which all others went through, hides these colours too
                pixels[pixels[..., 3] == 0] = 0
            return pixels
    raise ValueError(f"has {count} pixels, expected at most {most}; cut it into parts")


def fitted(
    picture: Image.Image,
    shape: tuple[int, ...],
    levels: tuple[float, float] | None = None,
    fit: str = "crop",
    bars: str | None = None,
) -> np.ndarray:
    """Return a picture of any size as an image uint8 [height, width, channels] of `shape`.

    By `fit`, it shows the picture's middle (crop), all of it between bars (pad), or all of it
    squeezed (stretch). `bars` name a colour; by default they are white, or transparent in 4
    channels. The EXIF orientation is applied, and colours are those of `plain`, which says what it
    raises.
    """
    height, width, channels = shape
    whole, upright = (width, height), _upright(picture)
    shown = _largest(upright.size, whole) if fit == "crop" else upright.size
    part = plain(upright.crop(_middle(upright.size, shown)), channels, levels)
    size = _largest(whole, part.size) if fit == "pad" else whole
    resized = part.resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    pixels = Image.new(part.mode, whole, bars or ("white" if channels < 4 else (0, 0, 0, 0)))
    pixels.paste(resized, _middle(whole, size))
    return np.asarray(pixels).reshape(shape)


def read_mask(path: Path, shape: tuple[int, ...], fit: str = "crop") -> np.ndarray:
    """Return a mask uint8 [height, width, 1] as `inpaint` takes it: 0 where the picture is dark.

    It is fitted like a photograph, then 1 where its grey level is at least 128. Its bars are 0, so
    that those of the photograph stay. Raises ValueError if no pixel is 1, or if it is not a whole
    picture.
    """
    grey = read_photo(path, (*shape[:2], 1), fit=fit, bars="black")
    mask = (grey >= 128).astype(np.uint8)
    if not mask.any():
        raise ValueError("is black all over; expected white where to repaint the photograph")
    return mask


def upright_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of a picture as it is seen; raises ValueError like `read_photo`."""
    with _opened(path) as picture:
        return _upright(picture).size


@contextlib.contextmanager
def _opened(path: Path, size: int | None = None) -> Iterator[Image.Image]:
    """Open a picture, and turn whatever goes wrong while it is decoded into ValueError.

    With `size`, it may be shrunk for an image of that many pixels a side.
    """
    # Opening a named pipe would wait forever.
    if not path.is_file():
        raise ValueError("is not a file; expected a picture; check the path")
    try:
        with warnings.catch_warnings():
            # Neither a panorama nor EXIF that was cut short spoils a picture.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_readable_formats()) as picture:
                if size is not None:
                    least = int(_REDUCING_GAP * size)
                    picture.draft(None, (least, least))
                _scale_transparent_level(picture)
                yield picture
    except UnidentifiedImageError as error:
        expected = f"expected one of {', '.join(_readable_formats())}"
        raise ValueError(f"is no picture that can be read; {expected}; convert it") from error
    except Exception as error:
        # What damage makes a decoder raise is not documented, and means the same to a user.
        raise ValueError(f"cannot be decoded ({error}); expected a whole picture") from error


@functools.cache
def _readable_formats() -> tuple[str, ...]:
    """Return the formats that Pillow reads here, with its plugins where they are installed."""
    Image.init()
    lacking = {"WEBP", "AVIF"} - {name.upper() for name in features.get_supported()}
    with contextlib.suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()
    if "AVIF" in lacking:
        with contextlib.suppress(ImportError):
            import_module("pillow_avif")
            lacking.remove("AVIF")
    return tuple(kind for kind in _FORMATS if kind in Image.OPEN and kind not in lacking)


def _require_all_bits(picture: Image.Image, levels: tuple[float, float] | None) -> None:
    """Raise ValueError for a picture of whose levels Pillow drops some that count."""
    if levels and _HIGH_BYTES.search(str(getattr(picture, "tile", ""))):
        raise ValueError("16-bit colours, of which only 8 bits can be read")


def _scale_transparent_level(picture: Image.Image) -> None:
    """Scale the transparent level of a PNG as Pillow scales its pixels to 8 bits.

    Of 16-bit colours Pillow keeps the high bytes, so the transparent one is compared by these.
    """
    level = picture.info.get("transparency")
    if level is None or not isinstance(picture, PngImageFile):
        return
    raw_mode = picture.tile[0].args
    if raw_mode in _PNG_SCALES:
        picture.info["transparency"] = level * _PNG_SCALES[raw_mode]
    elif raw_mode == "RGB;16B":
        picture.info["transparency"] = tuple(part >> 8 for part in level)


def _upright(picture: Image.Image) -> Image.Image:
    """Apply the EXIF orientation, if it can be read at all.

    Pillow's `exif_transpose` fails on EXIF that it cannot write back.
    """
    # Pillow turns a TIFF itself while it loads it, and looks for an orientation in XMP of any type.
    if not isinstance(picture.info.get("xmp", b""), bytes):
        del picture.info["xmp"]
    picture.load()
    try:
        turn = _UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        # Damaged EXIF raises many kinds of errors, and does not spoil the pixels.
        return picture
    return picture if turn is None else picture.transpose(turn)


def _largest(within: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (width, height) within another with the proportions of `shape`."""
    across = round(within[1] * shape[0] / shape[1])
    down = round(within[0] * shape[1] / shape[0])
    return min(within[0], max(across, 1)), min(within[1], max(down, 1))


def _middle(size: tuple[int, int], part: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the box of a part in the middle: left, top, right, bottom."""
    left, top = (size[0] - part[0]) // 2, (size[1] - part[1]) // 2
    return left, top, left + part[0], top + part[1]
