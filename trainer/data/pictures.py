"""Any picture in, one square of RGB bytes out."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import InputError

# Files are often misnamed, so the ending does not choose the format. Formats that Pillow hands to
# another program (EPS) stay out.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
# A cheap box filter or JPEG's own scaling may shrink a picture to this many times its final size
# before Lanczos does the rest: the result hardly differs, and large pictures are much faster.
_REDUCING_GAP = 3.0


def read_image(path: Path, image_size: int) -> NDArray[np.uint8]:
    """Return the picture in a file as `square_rgb` does, uint8 [image_size, image_size, 3].

    Raises FileNotFoundError if path is no file, another OSError if it cannot be opened, and
    InputError (a ValueError) if it does not decode to a whole picture; all of them name the path.
    """
    name = repr(str(path))
    # Opening a named pipe would wait forever.
    if not path.is_file():
        raise FileNotFoundError(f"{name} is not a file; expected a JPEG or PNG; check the path")
    with path.open("rb") as file:
        try:
            with Image.open(file, formats=_FORMATS) as image:
                least = int(_REDUCING_GAP * image_size)
                image.draft(None, (least, least))
                return square_rgb(image, image_size)
        except UnidentifiedImageError as error:
            raise InputError(f"{name} is no picture; expected a JPEG or PNG; remove it") from error
        # Pillow reports broken PNG chunks as SyntaxError.
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            message = f"{name} cannot be decoded ({error}); expected a whole JPEG or PNG"
            raise InputError(f"{message}; replace or remove it") from error


def square_rgb(image: Image.Image, image_size: int) -> NDArray[np.uint8]:
    """Return the centre square of a picture, uint8 [image_size, image_size, 3].

    The EXIF orientation is applied, transparency is laid over white, 16-bit grey levels are scaled
    by 1/257, and the square is resized with an antialiased Lanczos filter.

    Raises ValueError for image_size < 1 and for floating-point pictures, whose range is unknown.
    """
    upright = ImageOps.exif_transpose(image)
    rgb = _rgb(_centre_square(upright))
    size = (image_size, image_size)
    return np.asarray(rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP))


def _centre_square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("picture has mode F; expected integers; convert it to 8 or 16 bits")
    if image.mode.startswith("I"):
        return _grey_from_16_bits(image).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _grey_from_16_bits(image: Image.Image) -> Image.Image:
    levels = np.asarray(image).astype(np.int64)
    grey = (np.clip(levels, 0, 65535) + 128) // 257
    # A PNG may declare one grey level transparent, which Pillow leaves to us at 16 bits.
    if (transparent := image.info.get("transparency")) is not None:
        grey[levels == transparent] = 255
    return Image.fromarray(grey.astype(np.uint8))
