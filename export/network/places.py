"""Which axes of latents are rows and columns of blocks of pixels."""

from typing import Any

import numpy as np

from .maps import FittedMap

CHANNELS_LAST, CHANNELS_FIRST = (0, 1), (1, 2)
# How many times as local latents with channels first must be to be taken for such.
_CLEARLY = 2


def places_of(decoder: FittedMap) -> tuple[int, int] | None:
    """The axes of latents that are rows and columns of blocks of pixels, if any are.

    Where sizes alone leave it open, as for latents [4, 8, 8] of images [32, 32, 3], channels come
    last, unless a latent clearly changes the pixels where it would be if they came first.
    """
    (*image, _), latent = decoder.given, decoder.taken
    fits = [
        axes
        for axes in ((CHANNELS_LAST, CHANNELS_FIRST) if len(latent) == 3 else ())
        if all(side % latent[axis] == 0 for side, axis in zip(image, axes, strict=True))
    ]
    if len(fits) < 2:
        return fits[0] if fits else None
    last, first = (_locality(decoder, axes) for axes in fits)
    return CHANNELS_FIRST if first > _CLEARLY * last else CHANNELS_LAST


def _locality(decoder: FittedMap, axes: tuple[int, int]) -> float:
    """How much more than other pixels those of its block change with a latent.

    The axes would be its rows and columns. It is about 1 if they are not.
    """
    rng = np.random.default_rng(0)
    values = rng.normal(size=decoder.taken).astype(np.float32)
    rows, columns = (decoder.taken[axis] for axis in axes)
    corners = [(row, column) for row in {0, rows - 1} for column in {0, columns - 1}]
    changed = np.repeat(values[np.newaxis], len(corners), axis=0)
    for latent, corner in zip(changed, corners, strict=True):
        place: Any = [slice(None)] * 3
        place[axes[0]], place[axes[1]] = corner
        latent[tuple(place)] += 1
    apart = np.abs(decoder.predict(changed) - decoder.predict(values[np.newaxis]))
    height, width, channels = decoder.given
    blocks = (-1, rows, height // rows, columns, width // columns, channels)
    sums = apart.reshape(blocks).sum(axis=(2, 4, 5))
    own = [each[corner] for each, corner in zip(sums, corners, strict=True)]
    return float(np.mean(own) / max(sums.mean(), 1e-12))
