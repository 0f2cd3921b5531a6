"""Reads a photograph and a mask at a bundle's size, the photograph as the trainer reads its own."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Files are often misnamed, so the ending does not choose the format. Formats that Pillow hands to
# another program (EPS) stay out.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# A cheap box filter, or JPEG's own scaling, may shrink a picture to this many times its final size.
_REDUCING_GAP = 3.0


def read_photo(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the centre of a picture of any size as uint8 [height, width, channels] of `shape`.

    The EXIF orientation is applied, and transparency is laid over white where there are no 4
    channels. Raises ValueError with the reason if it is not a whole picture.
    """
    height, width, channels = shape
    with _opened(path, max(height, width)) as picture:
        part = _plain(_centre(ImageOps.exif_transpose(picture), width, height), channels)
        size = (width, height)
        resized = part.resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    return np.asarray(resized).reshape(shape)


def read_mask(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Return a mask uint8 [height, width, 1] as `inpaint` takes it: 0 where the picture is dark.

    It is cut and resized like a photograph; 1 where the result is white by half or more. Raises
    ValueError if nothing is, or it is not a whole picture.
    """
    mask = (read_photo(path, (*shape[:2], 1)) >= 128).astype(np.uint8)
    if not mask.any():
        raise ValueError("is black all over; expected white where the photograph is painted anew")
    return mask


def upright_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of a picture as it is seen; ValueError as above."""
    with _opened(path) as picture:
        return ImageOps.exif_transpose(picture).size


@contextlib.contextmanager
def _opened(path: Path, size: int | None = None) -> Iterator[Image.Image]:
    """Open a picture, and turn whatever goes wrong while it is decoded into ValueError.

    With `size` it may be shrunk for an image of that many pixels a side.
    """
    # Opening a named pipe would wait forever.
    if not path.is_file():
        raise ValueError("is not a file; expected a JPEG or PNG; check the path")
    try:
        with warnings.catch_warnings():
            # A panorama is no attack; from twice that size on Pillow refuses it.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as picture:
                if size is not None:
                    least = int(_REDUCING_GAP * size)
                    picture.draft(None, (least, least))
                yield picture
    except UnidentifiedImageError as error:
        raise ValueError("is no picture; expected a JPEG or PNG") from error
    # Pillow reports broken PNG chunks as SyntaxError.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot be decoded ({error}); expected a whole JPEG or PNG") from error


def _centre(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Return the largest part in the middle that has the shape of width x height."""
    across = min(picture.width, round(picture.height * width / height))
    down = min(picture.height, round(picture.width * height / width))
    left, top = (picture.width - across) // 2, (picture.height - down) // 2
    return picture.crop((left, top, left + max(across, 1), top + max(down, 1)))


def _plain(picture: Image.Image, channels: int) -> Image.Image:
    """Return it as grey, RGB or RGBA of 8 bits."""
    if picture.mode == "F":
        raise ValueError("mode F; convert it to 8 or 16 bits")
    if picture.mode.startswith("I"):
        picture = _grey_from_16_bits(picture)
    if picture.has_transparency_data and channels < 4:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert(_MODES[channels])


def _grey_from_16_bits(picture: Image.Image) -> Image.Image:
    levels = np.clip(np.asarray(picture).astype(np.int64), 0, 65535)
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))
