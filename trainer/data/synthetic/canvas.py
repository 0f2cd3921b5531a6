"""Painting on a canvas: float32 [3, side, side] of colours in [0, 1], y down.

Channels come first because NumPy is several times slower when its innermost axis has three entries.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# At run time all is float32: NumPy's stubs do not know that a Python float leaves it so.
Floats = NDArray[np.floating]

# Shadows under an open sky keep some blue, which saves white petals from a dead grey.
_SHADOW_TINT = np.array([1.0, 0.95, 0.8], np.float32).reshape(3, 1, 1)


def grid(side: int) -> tuple[Floats, Floats]:
    """Return x [1, side] and y [side, 1] of the pixel centres, in [-1, 1]."""
    line = ((np.arange(side) + 0.5) * (2 / side) - 1).astype(np.float32)
    return line[None, :], line[:, None]


def colours(text: str) -> list[Floats]:
    """Return one [3, 1, 1] for each hexadecimal colour of a text such as "ff8000 10a0f0"."""
    codes = [list(bytes.fromhex(code)) for code in text.split()]
    return [np.array(code, np.float32).reshape(3, 1, 1) / 255 for code in codes]


def ramp(start: float, end: float, values: Floats) -> Floats:
    """Return a smooth step from 0 at start to 1 at end, which may be the smaller one."""
    unit = np.clip((values - start) * (1 / (end - start)), 0, 1)
    return unit * unit * (3 - 2 * unit)


def mix(first: Floats, second: Floats, weight: Floats | float) -> Floats:
    """Return first where weight [side, side] is 0 and second where it is 1."""
    return first + (second - first) * weight


def darken(colour: Floats, amount: Floats) -> Floats:
    """Return colour shaded by amount [side, side]: 0 keeps it, 1 is black with some blue."""
    return colour * (1 - amount * _SHADOW_TINT)


def to_picture(canvas: Floats) -> Image.Image:
    """Return the canvas as an RGB picture of 8 bits, out-of-range colours clipped."""
    bytes_first = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(bytes_first.transpose(1, 2, 0)))
