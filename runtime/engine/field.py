"""The noise of pictures of any size: one field for each seed, made of the noise of many seeds."""

import hashlib
import threading

import numpy as np

from ..background import require_wanted
from .batching import TOGETHER
from .engine import Engine


def block_seed(seed: int, row: int, column: int) -> int:
    """Return the seed of the noise that fills a block of the field of `seed`.

    Block (0, 0) has the seed itself. Others have seeds below 2**31, which every host can draw.
    """
    if row == column == 0:
        return seed
    digest = hashlib.sha256(f"{seed},{row},{column}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 2**31


def noise_field(
    engine: Engine, seed: int, height: int, width: int, cancel: threading.Event | None = None
) -> np.ndarray:
    """Return the first rows and columns of a seed's field, float32 [height, width, channels].

    They do not depend on how many there are. CancelledError once `cancel` is set.
    """
    down, across, channels = engine.bundle.sample_shape
    field = np.empty((height, width, channels), np.float32)
    corners = [(y, x) for y in range(0, height, down) for x in range(0, width, across)]
    size = engine.settings.max_batch or TOGETHER
    for first in range(0, len(corners), size):
        require_wanted(cancel)
        some = corners[first : first + size]
        seeds = [block_seed(seed, y // down, x // across) for y, x in some]
        (blocks,) = engine.run("noise", {"seeds": np.array(seeds, np.int64)})
        for (y, x), block in zip(some, blocks, strict=True):
            part = field[y : y + down, x : x + across]
            part[:] = block[: part.shape[0], : part.shape[1]]
    return field
