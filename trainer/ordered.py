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

from .cache import DiskCache, MemoryCache
from .errors import InputError
from .image_store import Images
from .run_directory import replacing

logger = logging.getLogger("diffkiln.trainer")

Pixels = Iterator[NDArray[np.uint8]]


@dataclass(frozen=True)
class OrderedImages:
    """Images uint8 [S, S, 3] to train on and to hold out, at most `counts` of each.

    The images follow from `identity` and their size; each call begins with the first one anew.
    """

    identity: str
    counts: tuple[int, int]
    train: Callable[[], Pixels]
    evaluation: Callable[[], Pixels]


@dataclass(frozen=True)
class Decoded:
    """How many images were decoded, and the SHA-256 of the pixels of all in order."""

    images: int
    eval_images: int
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
        counts = decoded.images, decoded.eval_images
        train, held_out = map(_images, counts, (image_size, image_size), caches)
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
        if caches[0].holds(decoded.images) and caches[1].holds(decoded.eval_images):
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
    return train, held_out, Decoded(len(train), len(held_out), digest.hexdigest())


def _hashed(images: Pixels, digest: "hashlib._Hash") -> Pixels:
    for image in images:
        digest.update(np.ascontiguousarray(image).data)
        yield image


def _write(cache: MemoryCache | DiskCache, images: Pixels) -> int:
    """Write images from number 0 on; how many there were."""
    count = 0
    for image in images:
        cache.write(count, image)
        count += 1
    return count


def _images(count: int, image_size: int, cache: MemoryCache | DiskCache) -> Images:
    def damaged(index: int) -> NDArray[np.uint8]:
        place = cache.path.parent if isinstance(cache, DiskCache) else "memory"
        raise InputError(
            f"{place}: image {index} of the cache is damaged; remove the folder and give the same "
            "command again"
        )

    return Images(count, image_size, cache=cache, decode=damaged)


def without_copies(images: Pixels, held_out: Iterable[NDArray[np.uint8]]) -> Pixels:
    """The images that do not stand, pixel for pixel, among the held-out ones too."""
    known = {_digest(image) for image in held_out}
    left_out = 0
    for image in images:
        if known and _digest(image) in known:
            left_out += 1
        else:
            yield image
    if left_out:
        logger.warning("left out %d images that are held out too", left_out)


def _digest(image: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()
