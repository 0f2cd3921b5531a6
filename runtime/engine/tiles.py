"""Tiles that cover a canvas: where they lie, and how much each counts at every pixel.

MultiDiffusion (arXiv 2302.08113) denoises a picture that is larger than the network's: in each
step, the next state of a pixel is the mean of what the tiles over it say. Towards the edge of a
tile, where the network sees least of the surroundings, its weight falls to almost nothing. So no
seams remain.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# An image of a batch, and a tile of it.
Place = tuple[int, int]


class Side(NamedTuple):
    """Tiles along one side of a canvas, each `size` long.

    `weights` float32 [T, size] add up to 1 at each place of the canvas.
    """

    starts: Sequence[int]
    weights: np.ndarray

    @property
    def size(self) -> int:
        """How long a tile is."""
        return self.weights.shape[1]


class Tiles(NamedTuple):
    """Tiles in rows and columns, counted row by row."""

    rows: Side
    columns: Side

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    def cut(self, canvases: np.ndarray, places: Sequence[Place], factor: int = 1) -> np.ndarray:
        """Return tiles [M, …] of canvases [N, …], which are `factor` times smaller than others."""
        return np.stack([canvases[(image, *self._window(tile, factor))] for image, tile in places])

    def add(self, sums: np.ndarray, places: Sequence[Place], tiles: np.ndarray) -> None:
        """Add tiles [M, …] to canvases float32 [N, …], each by its weights."""
        for (image, tile), pixels in zip(places, tiles, strict=True):
            sums[(image, *self._window(tile))] += self._weights(tile) * pixels

    def _window(self, tile: int, factor: int = 1) -> tuple[slice, slice]:
        row, column = divmod(tile, len(self.columns.starts))
        top, left = self.rows.starts[row] // factor, self.columns.starts[column] // factor
        height, width = self.rows.size // factor, self.columns.size // factor
        return slice(top, top + height), slice(left, left + width)

    def _weights(self, tile: int) -> np.ndarray:
        row, column = divmod(tile, len(self.columns.starts))
        return self.rows.weights[row][:, None, None] * self.columns.weights[column][:, None]


def side(length: int, size: int, factor: int) -> Side:
    """Return tiles of `size` along `length`, both multiples of `factor`, and so are all starts.

    Neighbours share at least a quarter of a tile, or as little as one times `factor` of a tiny one.
    The last tile ends where the canvas ends. Before they are divided by their sum, weights are
    sin²(π·(i + ½)/size).
    """
    step = max(1, size // factor * 3 // 4) * factor
    starts = [*range(0, length - size, step), length - size]
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    total = np.zeros(length)
    for start in starts:
        total[start : start + size] += window
    weights = [window / total[start : start + size] for start in starts]
    return Side(starts, np.array(weights, np.float32))
