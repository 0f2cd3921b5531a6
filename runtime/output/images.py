"""Lays images out in one picture, and writes a picture as PNG, WebP or JPEG.

`images` are always [count, height, width, channels] with 1 (grey), 3 (RGB) or 4 (RGBA) channels:
uint8, or floats in [0, 1] that become round(255·clip(x, 0, 1)).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.arguments import as_array
from ..limits import MAX_SCALE, whole
from .atomic import atomic

if TYPE_CHECKING:
    from PIL.Image import Image

CHANNELS = (1, 3, 4)
# By ending, how Pillow writes a picture. PNG and WebP keep every pixel; JPEG cannot, but at this
# quality, with colours as fine as the brightness, it comes close.
PICTURES: Mapping[str, Mapping[str, Any]] = {
    ".png": {"format": "PNG"},
    ".webp": {"format": "WEBP", "lossless": True, "exact": True},
    ".jpg": (_JPEG := {"format": "JPEG", "quality": 95, "subsampling": 0}),
    ".jpeg": _JPEG,
}
GAP = 2
BACKGROUND = 255
MASKED = 127


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Return `images` as uint8 of the same shape; ValueError for a wrong shape, dtype or a NaN."""
    if images.ndim != 4 or images.shape[-1] not in CHANNELS or 0 in images.shape:
        expected = "[count, height, width, channels] with 1, 3 or 4 channels and nothing empty"
        raise ValueError(f"images of shape {list(images.shape)}: expected {expected}")
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating) or np.isnan(images).any():
        expected = "uint8, or floats in [0, 1] without NaN"
        raise ValueError(f"images of dtype {images.dtype}: expected {expected}")
    return as_levels(images)


def as_levels(images: np.ndarray) -> np.ndarray:
    """Levels of 255 of images of any shape, uint8 or floats in [0, 1], to the nearest even one."""
    return images if images.dtype == np.uint8 else np.rint(255 * images.clip(0, 1)).astype(np.uint8)


def grid_shape(count: int, *, one_row: bool = False) -> tuple[int, int]:
    """Return (rows, columns) of a grid of `count` images: nearly a square, or one row."""
    columns = count if one_row else math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def grid(images: np.ndarray, *, one_row: bool = False) -> np.ndarray:
    """Return one picture uint8 [height', width', channels] of all images, row by row.

    GAP white pixels separate neighbours, and white fills the rest of the last row.
    """
    images = to_uint8(images)
    count, height, width, channels = images.shape
    rows, columns = grid_shape(count, one_row=one_row)
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels)
    picture = np.full(shape, BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        picture[top : top + height, left : left + width] = image
    return picture


def image_grid(images: np.ndarray | Sequence[np.ndarray], *, scale: int = 1) -> "Image":
    """Return all images as one picture of Pillow, nearly a square, which a notebook shows.

    `images` are what a Sampler returns: [count, height, width, channels], uint8 or floats in
    [0, 1]; or a list of such images [height, width, channels]. `scale`, 1 … 64, repeats each pixel
    in both directions. Raises ValueError for another shape or dtype, a NaN, or a scale out of
    range.
    """
    pixels = grid(as_array("images", images))[np.newaxis]
    return to_picture(enlarge(pixels, whole("scale", scale, 1, MAX_SCALE))[0])


def enlarge(images: np.ndarray, scale: int) -> np.ndarray:
    """Repeat each pixel `scale` times down and across, so that small images show their pixels."""
    return images.repeat(scale, axis=1).repeat(scale, axis=2)


def masked(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a photograph uint8 [height, width, channels] with grey where it will be repainted."""
    return np.where(mask, np.uint8(MASKED), photo)


def import_pillow() -> None:
    """Import the writers of pictures, so that the first picture does not wait for them."""
    from PIL import Image

    Image.preinit()


def save_picture(path: Path, image: np.ndarray, *, named: bool = False) -> None:
    """Write one image [height, width, channels] in the format of the path's ending, a PICTURES key.

    JPEG has no transparency, which lies over white there. `named` is as for `atomic`.
    """
    settings = PICTURES[path.suffix.lower()]
    pixels = to_uint8(image[np.newaxis])[0]
    if settings["format"] == "JPEG":
        pixels = opaque(pixels)
    with atomic(path, named=named) as temporary:
        to_picture(pixels).save(temporary, **settings)


def to_picture(pixels: np.ndarray) -> "Image":
    """Return one image uint8 [height, width, channels] as a picture of Pillow."""
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def opaque(pixels: np.ndarray) -> np.ndarray:
    """Lay transparency over white: uint8 [height, width, channels], in 1 or 3 channels."""
    if pixels.shape[-1] < 4:
        return pixels
    alpha = pixels[..., 3:] / 255
    return np.rint(pixels[..., :3] * alpha + BACKGROUND * (1 - alpha)).astype(np.uint8)
