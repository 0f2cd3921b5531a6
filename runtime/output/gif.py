"""Animated GIFs, in the 256 colours that suit all frames together.

All frames share one palette: with a palette for each, a constant patch flickers between similar
colours. Dithering, which also flickers and takes a tenth more bytes, is off.
"""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .atomic import atomic
from .images import opaque, to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image

FRAME_MS = 80
LAST_FRAME_MS = 2000
TURN_MS = 600

# More pixels than this hardly improve the colours.
_PALETTE_PIXELS = 2**15


def save_gif(
    path: str | os.PathLike[str],
    frames: Iterable[np.ndarray],
    *,
    scale: int = 1,
    there_and_back: bool = False,
) -> None:
    """Write frames [height, width, channels] as an endless animation, whole or not at all.

    The last frame is held for 2 s; with `there_and_back` the frames then follow in reverse order,
    and both ends are held for 0.6 s. Each pixel is repeated `scale` times both ways, and
    transparency lies over white. Raises ValueError if there is no frame.
    """
    pictures = [_opaque(frame) for frame in frames]
    if not pictures:
        raise ValueError("frames: received none, expected at least one")
    durations_ms = [FRAME_MS] * (len(pictures) - 1) + [LAST_FRAME_MS]
    palette = _palette(pictures)
    indexed = [_indexed(picture, palette, scale) for picture in pictures]
    if there_and_back and len(pictures) > 1:
        durations_ms[0] = durations_ms[-1] = TURN_MS
        indexed += indexed[-2:0:-1]
        durations_ms += durations_ms[-2:0:-1]
    with atomic(path) as temporary:
        indexed[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=indexed[1:],
            duration=durations_ms,
            loop=0,
            disposal=1,
            # Passed here too, it is written once for all frames.
            palette=bytes(palette.getpalette() or ()),
        )


def _opaque(frame: np.ndarray) -> np.ndarray:
    """Return a frame as uint8 [height, width, 3], or [height, width] if it is grey."""
    pixels = opaque(to_uint8(frame[np.newaxis])[0])
    return pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels


def _palette(frames: Sequence[np.ndarray]) -> "Image":
    """Make a picture whose palette holds the colours: median cut, then k-means."""
    from PIL import Image

    if frames[0].ndim == 2:
        return Image.fromarray(frames[0]).convert("P")  # all 256 greys
    share = -(-_PALETTE_PIXELS // len(frames))
    pixels = np.stack([frame.reshape(-1, 3) for frame in frames])
    if pixels.shape[1] > share:
        # Not every k-th pixel, which could be the same column in each row.
        pixels = pixels[:, np.random.default_rng(0).integers(0, pixels.shape[1], share)]
    picture = Image.fromarray(pixels.reshape(-1, 1, 3))
    return picture.quantize(256, Image.Quantize.MEDIANCUT, kmeans=1)


def _indexed(frame: np.ndarray, palette: "Image", scale: int) -> "Image":
    from PIL import Image, ImageOps

    picture = Image.fromarray(frame)
    grey, no_dither = picture.mode == "L", Image.Dither.NONE
    indexed = picture.convert("P") if grey else picture.quantize(palette=palette, dither=no_dither)
    return ImageOps.scale(indexed, scale, Image.Resampling.NEAREST)
