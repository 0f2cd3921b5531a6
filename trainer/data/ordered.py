"""Images that can only be read from first to last: decoded once, into memory or into a file."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..run.directory import replacing
from .cache import DiskCache, MemoryCache
from .store import Images

logger = logging.getLogger("diffkiln.trainer")

# A picture uint8 [S, S, 3], and its class or -1.
Examples = Iterator[tuple[NDArray[np.uint8], int]]


@dataclass(frozen=True)
class OrderedImages:
    """Images uint8 [S, S, 3] to train on and to hold out with their classes, at most `counts` each.

    They follow from `identity` and their size; each call begins with the first one anew.
    `class_names` are those of classes 0, 1, …, where the data has any.
    """

    identity: str
    counts: tuple[int, int]
    train: Callable[[], Examples]
    evaluation: Callable[[], Examples]
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decoded:
    """The classes of the images that were decoded, and the SHA-256 of all pixels in order."""

    labels: list[int]
    eval_labels: list[int]
    fingerprint: str


def in_memory(source: OrderedImages, image_size: int) -> tuple[Images, Images, Decoded]:
    """The images to train on and those held out, decoded into memory."""
    caches = [MemoryCache(count, image_size) for count in source.counts]
    return _decode(source, image_size, *caches)


def on_disk(
    source: OrderedImages, image_size: int, *, path: Path
) -> tuple[Images, Images, Decoded]:
    """The same in files beside `path`, which are used again if an earlier start finished them."""
    caches = [DiskCache(path.with_suffix(end), image_size) for end in (".images", ".held_out")]
    record = path.with_suffix(".json")
    decoded = _finished(record, caches)
    if decoded:
        train = _images(decoded.labels, image_size, caches[0])
        held_out = _images(decoded.eval_labels, image_size, caches[1])
        return train, held_out, decoded
    for cache in caches:
        cache.clear()
    made = _decode(source, image_size, *caches)
    with replacing(record) as part:
        part.write_text(json.dumps(asdict(made[2])) + "\n")
    return made


def _finished(record: Path, caches: list[DiskCache]) -> Decoded | None:
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        decoded = Decoded(**json.loads(record.read_text()))
        labels = decoded.labels, decoded.eval_labels
        if all(cache.holds(len(of)) for cache, of in zip(caches, labels, strict=True)):
            return decoded
    return None


def _decode(
    source: OrderedImages,
    image_size: int,
    train_cache: MemoryCache | DiskCache,
    eval_cache: MemoryCache | DiskCache,
) -> tuple[Images, Images, Decoded]:
    held_out = _images(_write(eval_cache, source.evaluation()), image_size, eval_cache)
    known = (image for portion in held_out.portions() for image in portion)
    kept = without_copies(source.train(), known)
    digest = hashlib.sha256()
    train = _images(_write(train_cache, _hashed(kept, digest)), image_size, train_cache)
    for portion in held_out.portions():
        digest.update(portion.data)
    labels, eval_labels = train.labels.tolist(), held_out.labels.tolist()
    return train, held_out, Decoded(labels, eval_labels, digest.hexdigest())


def _hashed(examples: Examples, digest: "hashlib._Hash") -> Examples:
    for image, label in examples:
        digest.update(np.ascontiguousarray(image).data)
        yield image, label


def _write(cache: MemoryCache | DiskCache, examples: Examples) -> list[int]:
    """Write images from number 0 on; their classes."""
    labels: list[int] = []
    for image, label in examples:
        cache.write(len(labels), image)
        labels.append(label)
    return labels


def _images(labels: list[int], image_size: int, cache: MemoryCache | DiskCache) -> Images:
    def damaged(index: int) -> NDArray[np.uint8]:
        place = cache.path.parent if isinstance(cache, DiskCache) else "memory"
        raise InputError(
            f"{place}: image {index} of the cache is damaged; remove the folder and give the same "
            "command again"
        )

    numbers = np.array(labels, np.int64)
    return Images(len(labels), image_size, cache=cache, decode=damaged, labels=numbers)


def without_copies(examples: Examples, held_out: Iterable[NDArray[np.uint8]]) -> Examples:
    """The images that do not stand, pixel for pixel, among the held-out ones too."""
    known = {_digest(image) for image in held_out}
    left_out = 0
    for image, label in examples:
        if known and _digest(image) in known:
            left_out += 1
        else:
            yield image, label
    if left_out:
        logger.warning("left out %d images that are held out too", left_out)


def _digest(image: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()
