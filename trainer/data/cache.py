"""Images by number, each decoded once and then kept: in memory, in a file, or nowhere."""

import math
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import TrainConfig
from ..errors import InputError

IN_WORDS = {"memory": "cached in memory", "disk": "cached on disk", "none": "not cached"}

_PORTION_BYTES = 2**24
_MEMORY_SHARE = 4
# Assumed if the system does not say how much memory there is.
_USUAL_MEMORY_BYTES = 8 * 2**30
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
# A hole in a file reads as zeros, so the check of a whole record begins with another byte.
_WHOLE = b"\1"
_CHECK_BYTES = len(_WHOLE) + 4


# Height, width and channels of an image, or the axes of an array.
Shape = tuple[int, ...]


class MemoryCache:
    """Keeps up to `count` images; each takes memory once it is written. Threads may share it."""

    def __init__(self, count: int, shape: Shape) -> None:
        self._images = np.empty((count, *shape), np.uint8)
        self._written = np.zeros(count, np.bool_)

    def read(self, indices: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Fill rows of `images` [n, S, S, C] by `indices` [n]; bool [n] says which it had."""
        written = self._written[indices]
        images[written] = self._images[indices[written]]
        return written

    def write(self, index: int, image: NDArray[np.uint8]) -> None:
        """Keep an image uint8 [S, S, C]; the mark comes last, for a reader in another thread."""
        self._images[index] = image
        self._written[index] = True


class DiskCache:
    """Keeps images in a file of records, each the pixels and a check that they are whole.

    A record that a crash, a full disk or a loss of power left unfinished fails its check, and
    counts as missing. In a memory map, a full disk would end the process with SIGBUS; reads and
    writes raise an error instead. Threads may share it.
    """

    def __init__(self, path: Path, shape: Shape) -> None:
        self.path = path
        self._record_bytes = math.prod(shape) + _CHECK_BYTES
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise self._error("written", error) from error

    def read(self, indices: NDArray[np.int64], images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Read like MemoryCache; raises InputError if the file cannot be read."""
        whole = np.zeros(len(indices), np.bool_)
        try:
            with self.path.open("rb", buffering=0) as file:
                for row, index in enumerate(indices.tolist()):
                    file.seek(index * self._record_bytes)
                    file.readinto(images[row])
                    whole[row] = file.read(_CHECK_BYTES) == _check(images[row])
        except OSError as error:
            raise self._error("read", error) from error
        return whole

    def write(self, index: int, image: NDArray[np.uint8]) -> None:
        """Keep an image uint8 [S, S, C]; raises InputError if the disk is full."""
        record = image.tobytes() + _check(np.ascontiguousarray(image))
        try:
            with self.path.open("r+b", buffering=0) as file:
                file.seek(index * self._record_bytes)
                if file.write(record) < len(record):
                    raise OSError("no room for a whole image")  # noqa: TRY301
        except OSError as error:
            raise self._error("written", error) from error

    def holds(self, count: int) -> bool:
        """Whether the file has the length of `count` images, the last of them written."""
        return self.path.stat().st_size == count * self._record_bytes

    def _error(self, done: str, error: OSError) -> InputError:
        reason = error.strerror or str(error)
        return InputError(
            f"{self.path}: the cache of images could not be {done} ({reason}); make room or "
            "restore the folder, or give another --cache, and give the same command again"
        )


Cache = MemoryCache | DiskCache


def _check(image: NDArray[np.uint8]) -> bytes:
    return _WHOLE + zlib.crc32(image.data).to_bytes(4, "little")


class Images:
    """`count` images uint8 of one shape; `decode` makes those that the cache, if any, lacks.

    `labels` int64 [count] are their classes, by default −1. By default, as many `threads` decode as
    there are processors. All threads of a process may take images at once.
    """

    def __init__(
        self,
        count: int,
        shape: Shape,
        *,
        cache: Cache | None,
        decode: Callable[[int], NDArray[Any]],
        labels: NDArray[np.int64] | None = None,
        threads: int | None = None,
    ) -> None:
        self.shape = shape
        self.labels = np.full(count, -1, np.int64) if labels is None else labels
        self._count, self._cache, self._decode = count, cache, decode
        self._pool = ThreadPoolExecutor(threads or os.cpu_count(), thread_name_prefix="decode")

    def __len__(self) -> int:
        return self._count

    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """The images of `indices` int64 [n], uint8 [n, S, S, C].

        Raises InputError for an image that cannot be decoded, or a cache that cannot be used.
        """
        images = np.empty((len(indices), *self.shape), np.uint8)
        missing = np.arange(len(indices))
        if self._cache:
            missing = np.flatnonzero(~self._cache.read(indices, images))
        decoded = self._pool.map(self._decoded, indices[missing].tolist())
        for row, image in zip(missing, decoded, strict=True):
            images[row] = image
        return images

    def portions(self, indices: NDArray[np.int64] | None = None) -> Iterator[NDArray[Any]]:
        """Yield all images, or the images of `indices`, a few megabytes at a time."""
        indices = np.arange(len(self)) if indices is None else indices
        step = max(1, _PORTION_BYTES // math.prod(self.shape))
        for start in range(0, len(indices), step):
            yield self.take(indices[start : start + step])

    def _decoded(self, index: int) -> NDArray[Any]:
        image = self._decode(index)
        if self._cache:
            self._cache.write(index, image)
        return image


def chosen_cache(config: TrainConfig, images: int) -> str:
    """`config.cache`; by default memory if the images take at most a quarter of it, else disk."""
    if config.cache:
        return config.cache
    fits = images * math.prod(config.stored_shape) <= machine_memory_bytes() // _MEMORY_SHARE
    return "memory" if fits else "disk"


def machine_memory_bytes() -> int:
    """The memory of this machine or container."""
    limits = [_USUAL_MEMORY_BYTES]
    if hasattr(os, "sysconf"):
        limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in map(Path, _CGROUP_LIMITS):
        text = path.read_text().strip() if path.is_file() else ""
        if text.isdecimal():
            limits.append(int(text))
    return min(limits)
