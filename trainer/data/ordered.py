"""Images that can only be read from first to last: decoded once, into memory or into a file."""

import contextlib
import hashlib
import itertools
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..run.atomic import replacing
from .cache import Cache, DiskCache, Images, MemoryCache, Shape

logger = logging.getLogger("diffkiln.trainer")

# A picture uint8 [S, S, C], and its class or -1.
Examples = Iterator[tuple[NDArray[np.uint8], int]]
# Images to train on, held-out images, and the SHA-256 of all their pixels in order.
Decoded = tuple[Images, Images, str]


@dataclass(frozen=True)
class OrderedImages:
    """Images uint8 [S, S, C] to train on and to hold out with their classes, at most `counts` each.

    They follow from `identity` and their size; each call begins with the first image again.
    `class_names` are the names of classes 0, 1, …, if the data has any. `channels` are 1 for grey
    data.
    """

    identity: str
    counts: tuple[int, int]
    train: Callable[[], Examples]
    evaluation: Callable[[], Examples]
    class_names: tuple[str, ...] = ()
    channels: int = 3


def decode_all(source: OrderedImages, shape: Shape, path: Path | None) -> Decoded:
    """Decode the images into memory, or into files at `path` unless an earlier start did so."""
    if path is None:
        in_memory = [MemoryCache(count, shape) for count in source.counts]
        return _decode(source, shape, in_memory)
    caches = [DiskCache(path.with_suffix(end), shape) for end in (".images", ".held_out")]
    record = path.with_suffix(".json")
    if finished := _finished(record, caches, shape):
        return finished
    for cache in caches:
        os.truncate(cache.path, 0)
    train, held_out, fingerprint = _decode(source, shape, caches)
    labels = {"labels": train.labels.tolist(), "eval_labels": held_out.labels.tolist()}
    with replacing(record) as part:
        part.write_text(json.dumps({**labels, "fingerprint": fingerprint}) + "\n")
    return train, held_out, fingerprint


def _finished(record: Path, caches: list[DiskCache], shape: Shape) -> Decoded | None:
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        content = json.loads(record.read_text())
        labels = content["labels"], content["eval_labels"]
        if all(cache.holds(len(of)) for cache, of in zip(caches, labels, strict=True)):
            train, held_out = map(_images, labels, (shape, shape), caches)
            return train, held_out, content["fingerprint"]
    return None


def _decode(
    source: OrderedImages, shape: Shape, caches: list[MemoryCache] | list[DiskCache]
) -> Decoded:
    train_cache, eval_cache = caches
    held_out = _written(source.evaluation(), shape, eval_cache)
    to_avoid = itertools.chain.from_iterable(held_out.portions())
    train = _written(without_copies(source.train(), to_avoid), shape, train_cache)
    digest = hashlib.sha256()
    for portion in itertools.chain(train.portions(), held_out.portions()):
        digest.update(portion.data)
    return train, held_out, digest.hexdigest()


def _written(examples: Examples, shape: Shape, cache: Cache) -> Images:
    labels: list[int] = []
    for image, label in examples:
        cache.write(len(labels), image)
        labels.append(label)
    return _images(labels, shape, cache)


def _images(labels: list[int], shape: Shape, cache: Cache) -> Images:
    def damaged(index: int) -> NDArray[np.uint8]:
        place = cache.path.parent if isinstance(cache, DiskCache) else "memory"
        remedy = "remove the folder and give the same command again"
        raise InputError(f"{place}: image {index} of the cache is damaged; {remedy}")

    numbers = np.array(labels, np.int64)
    return Images(len(labels), shape, cache=cache, decode=damaged, labels=numbers)


def without_copies(examples: Examples, held_out: Iterable[NDArray[np.uint8]]) -> Examples:
    """Yield the examples whose image is not, pixel for pixel, among the held-out ones."""
    digests = {_digest(image) for image in held_out}
    copies = 0
    for image, label in examples:
        if digests and _digest(image) in digests:
            copies += 1
        else:
            yield image, label
    if copies:
        logger.warning("left out %d images that are held out too", copies)


def _digest(image: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()
