"""Images by number: read from a cache, or decoded by a pool of threads and then cached."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from .cache import Cache, MemoryCache

_PORTION_BYTES = 2**24


class Images:
    """`count` images uint8 [S, S, 3]; `decode` makes images that the cache, if any, does not hold.

    `labels` int64 [count] are their classes, by default −1. By default, as many `threads` decode as
    there are processors. All threads of a process may take images at once.
    """

    def __init__(
        self,
        count: int,
        image_size: int,
        *,
        cache: Cache | None,
        decode: Callable[[int], NDArray[np.uint8]],
        labels: NDArray[np.int64] | None = None,
        threads: int | None = None,
    ) -> None:
        self.image_size = image_size
        self.labels = np.full(count, -1, np.int64) if labels is None else labels
        self._count, self._cache, self._decode = count, cache, decode
        self._pool = ThreadPoolExecutor(threads or os.cpu_count(), thread_name_prefix="decode")

    @classmethod
    def of(cls, images: NDArray[np.uint8]) -> "Images":
        """Images uint8 [n, S, S, 3] that are already in memory."""
        cache = MemoryCache(len(images), images.shape[1])
        for index, image in enumerate(images):
            cache.write(index, image)
        return cls(len(images), images.shape[1], cache=cache, decode=lambda index: images[index])

    def __len__(self) -> int:
        return self._count

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images of `indices` int64 [n], uint8 [n, S, S, 3].

        Raises InputError for an image that cannot be decoded, or a cache that cannot be used.
        """
        images = np.empty((len(indices), self.image_size, self.image_size, 3), np.uint8)
        missing = np.arange(len(indices))
        if self._cache:
            missing = np.flatnonzero(~self._cache.read(indices, images))
        decoded = self._pool.map(self._decoded, indices[missing].tolist())
        for row, image in zip(missing, decoded, strict=True):
            images[row] = image
        return images

    def portions(self, indices: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield all images, or the images of `indices`, a few megabytes at a time."""
        indices = np.arange(len(self)) if indices is None else indices
        step = max(1, _PORTION_BYTES // (self.image_size**2 * 3))
        for start in range(0, len(indices), step):
            yield self.take(indices[start : start + step])

    def _decoded(self, index: int) -> NDArray[np.uint8]:
        image = self._decode(index)
        if self._cache:
            self._cache.write(index, image)
        return image
