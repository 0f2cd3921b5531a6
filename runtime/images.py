"""Lays images out and writes them: a grid, an animation, a folder.

Everywhere `images` is [count, height, width, channels] with 1 (grey), 3 (RGB) or 4 (RGBA) channels,
uint8, or floats in [0, 1] that become round(255·clip(x, 0, 1)).
"""

import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from .atomic import atomic

if TYPE_CHECKING:
    from PIL.Image import Image

CHANNELS = (1, 3, 4)
GAP = 2
BACKGROUND = 255
FRAME_MS = 80
LAST_FRAME_MS = 2000


def to_uint8(images: np.ndarray) -> np.ndarray:
    """`images` as uint8, the same shape; ValueError for another shape, dtype or a NaN."""
    if images.ndim != 4 or images.shape[-1] not in CHANNELS or 0 in images.shape:
        raise ValueError(
            f"images of shape {list(images.shape)}: expected [count, height, width, channels] "
            "with 1, 3 or 4 channels and nothing empty"
        )
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating) or np.isnan(images).any():
        raise ValueError(
            f"images of dtype {images.dtype}: expected uint8, or floats in [0, 1] without NaN"
        )
    return np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)


def grid_shape(count: int) -> tuple[int, int]:
    """(rows, columns) of a grid of `count` images: as near to a square as it goes."""
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def grid(images: np.ndarray) -> np.ndarray:
    """One picture uint8 [height', width', channels] of all images, row by row.

    GAP white pixels stand between neighbours; white fills the places left over in the last row.
    """
    images = to_uint8(images)
    count, height, width, channels = images.shape
    rows, columns = grid_shape(count)
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels)
    picture = np.full(shape, BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        picture[top : top + height, left : left + width] = image
    return picture


def enlarge(images: np.ndarray, scale: int) -> np.ndarray:
    """Each pixel repeated `scale` times down and across, so that small images show their pixels."""
    return images.repeat(scale, axis=1).repeat(scale, axis=2)


def save_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write one image [height, width, channels] as PNG, whole or not at all."""
    picture = _picture(image)
    with atomic(path) as temporary:
        picture.save(temporary, format="PNG")


def save_gif(path: str | os.PathLike[str], frames: Iterable[np.ndarray]) -> None:
    """Write frames [height, width, channels] as an endless animation, the last one held for 2 s.

    Each frame gets its own 256 colours. Raises ValueError if there is no frame.
    """
    pictures = [_picture(frame).quantize() for frame in frames]
    if not pictures:
        raise ValueError("frames: received none, expected at least one")
    durations = [FRAME_MS] * (len(pictures) - 1) + [LAST_FRAME_MS]
    with atomic(path) as temporary:
        pictures[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=durations,
            loop=0,
            disposal=1,
        )


def save_folder(
    path: str | os.PathLike[str], batches: Iterable[np.ndarray], *, seed: int = 0
) -> None:
    """Write each image of each batch to a new folder as PNG, named by its seed: 00000007.png.

    The folder appears once every image has been written. Raises OSError if there is one already
    that is not empty.
    """
    with atomic(path) as temporary:
        temporary.mkdir()
        for batch in batches:
            for image in to_uint8(batch):
                _picture(image).save(temporary / f"{seed:08d}.png", format="PNG")
                seed += 1


def _picture(image: np.ndarray) -> "Image":
    from PIL import Image

    pixels: np.ndarray = to_uint8(image[np.newaxis])[0]
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
