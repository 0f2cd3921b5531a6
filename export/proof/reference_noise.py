"""The noise once more, independently of the graphs: NumPy in uint32 and float64.

Threefry-2x32-20 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), then the
Box–Muller transform (Box and Muller, 1958).
"""

import math
from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def reference_noise(seeds: Sequence[int], shape: tuple[int, ...], *, stream: int = 0) -> Array:
    """Noise float64 [N, *shape] by the definition of version 1."""
    count = math.prod(shape)
    return np.stack([_normals(seed, count, stream).reshape(shape) for seed in seeds])


def reference_words(seed: int, count: int, *, stream: int = 0) -> tuple[Array, Array]:
    """Threefry-2x32-20 of counters (0 … count − 1, stream): two uint32 arrays [count]."""
    key = [np.uint32(seed % 2**32), np.uint32(seed // 2**32 % 2**32)]
    key.append(np.uint32(0x1BD11BDA) ^ key[0] ^ key[1])
    rotations = [13, 15, 26, 6, 17, 29, 16, 24]
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) + key[0]
        y = np.full(count, stream, np.uint32) + key[1]
        for turn in range(20):
            x = x + y
            bits = rotations[turn % 8]
            y = (y << np.uint32(bits) | y >> np.uint32(32 - bits)) ^ x
            if turn % 4 == 3:
                done = turn // 4 + 1
                x = x + key[done % 3]
                y = y + key[(done + 1) % 3] + np.uint32(done)
    return x, y


def _normals(seed: int, count: int, stream: int) -> Array:
    a, b = reference_words(seed, (count + 1) // 2, stream=stream)
    radius = np.sqrt(-2 * np.log((a // 256 + 1.0) / 2**24))
    angle = 2 * np.pi * (b // 256) / 2**24
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).ravel()[:count]
