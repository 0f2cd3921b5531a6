"""Images to train on, served in an order that any step can pick up.

Which images make up step k depends on the seed and k alone, so a run that stopped goes on with
exactly the images it would have seen.
"""

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..config import SYNTHETIC_IMAGES, TrainConfig
from ..errors import InputError
from ..run.directory import DataSummary
from ..streams import FLIP, stream_seed
from .cache import DiskCache, MemoryCache, NoCache, chosen_cache
from .folder import Pictures, list_folder
from .ordered import OrderedImages, in_memory, on_disk
from .statistics import pixel_statistics
from .store import Images
from .synthetic.dataset import flowers_of
from .synthetic.species import SPECIES
from .tfds import is_prepared, tfds_images

EVAL_IMAGES_USED = 256
SAMPLE = 1024
BATCHES_AHEAD = 6

Batch = tuple[tf.Tensor, tf.Tensor]


@dataclass(frozen=True)
class ImageData:
    """Images to train on, and those held out, of which there may be none.

    `sample` numbers those of `train` that the statistics are taken from, None for all. `cache` is
    the one in use.
    """

    train: Images
    held_out: Images
    fingerprint: str
    sample: NDArray[np.int64] | None = None
    cache: str = "memory"
    class_names: tuple[str, ...] = ()

    def summary(self) -> DataSummary:
        """Fingerprint, counts, and the training pixels' mean and standard deviation."""
        statistics = pixel_statistics(self.train.portions(self.sample))
        counts = len(self.train), len(self.held_out)
        return DataSummary(self.fingerprint, *counts, *statistics, self.class_names)

    @property
    def evaluation(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The images whose loss is measured, the first 256 held out: uint8 [n, S, S, 3].

        With their labels, int64 [n].
        """
        first = np.arange(min(len(self.held_out), EVAL_IMAGES_USED))
        return self.held_out.take(first), self.held_out.labels[first]


def load_images(
    config: TrainConfig,
    *,
    download: bool = False,
    cache_dir: Path = Path("cache"),
    worker: int = 0,
) -> ImageData:
    """The images of `config.data`, cropped and resized to `config.image_size`.

    Those of a folder are decoded as they are asked for, others now. With the disk cache, the files
    of `worker` in `cache_dir` are made, or used again. Raises InputError where there are no images,
    or not the classes that are wanted.
    """
    kind, _, name = config.data.partition(":")
    if kind == "folder":
        return _folder(Path(name), config, cache_dir, worker)
    source = _ordered(config, download=download)
    class_names = _wanted_classes(config, source.class_names)
    cache = chosen_cache(config, sum(source.counts))
    if cache == "disk":
        path = _cache_path(cache_dir, source.identity, config.image_size, worker)
        train, held_out, decoded = on_disk(source, config.image_size, path=path)
    else:
        train, held_out, decoded = in_memory(source, config.image_size)
    if not len(train):
        raise InputError(
            f"data={config.data}: no image is left to train on; expected split="
            f"{config.split} to hold images that eval_split={config.eval_split} does not"
        )
    fingerprint = decoded.fingerprint
    if class_names:
        labels = np.concatenate([train.labels, held_out.labels])
        fingerprint = hashlib.sha256(fingerprint.encode() + labels.tobytes()).hexdigest()
    return ImageData(train, held_out, fingerprint, cache=cache, class_names=class_names)


def _wanted_classes(config: TrainConfig, found: Sequence[str]) -> tuple[str, ...]:
    """The names of the data's classes where the network is to know them, else none."""
    if config.num_classes is None:
        return ()
    if len(found) == config.num_classes:
        return tuple(found)
    without = (
        "each in a folder of its own" if config.data.startswith("folder:") else "or leave it out"
    )
    if not found:
        raise InputError(
            f"num_classes={config.num_classes}: data={config.data} has no classes; expected "
            f"pictures of classes, {without}"
        )
    named = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
    raise InputError(
        f"num_classes={config.num_classes}: data={config.data} has {len(found)} classes ({named}); "
        f"give num_classes={len(found)}, or leave it out"
    )


def planned_cache(config: TrainConfig, *, download: bool = False) -> str:
    """Which cache `load_images` would use, and for how much, without reading an image.

    Raises InputError where `load_images` would, for all that can be known without the images.
    """
    kind, _, name = config.data.partition(":")
    if kind == "tfds" and download and not is_prepared(name, config.data_dir):
        return "depends on how many images there are, once they have been downloaded"
    if kind == "folder":
        listing = list_folder(Path(name))
        images, class_names = len(listing.names), listing.class_names
    else:
        source = _ordered(config, download=False)
        images, class_names = sum(source.counts), source.class_names
    _wanted_classes(config, class_names)
    megabytes = images * config.image_size**2 * 3 / 1e6
    return f"{chosen_cache(config, images)}, of {images:,} images in {megabytes:,.0f} MB"


def _folder(folder: Path, config: TrainConfig, cache_dir: Path, worker: int) -> ImageData:
    listing, size = list_folder(folder), config.image_size
    class_names = _wanted_classes(config, listing.class_names)
    labels = listing.labels if class_names else None
    count, pictures = len(listing.names), Pictures(listing, size, labels=labels)
    # A fixed part: more of them would say hardly more about the mean, and delay the first step.
    random = np.random.default_rng(config.seed)
    sample = np.sort(random.permutation(count)[:SAMPLE])
    pictures.require_readable(sample)
    kind = chosen_cache(config, count)
    if kind == "disk":
        path = _cache_path(cache_dir, listing.state, size, worker)
        cache = DiskCache(path.with_suffix(".images"), size)
    else:
        cache = MemoryCache(count, size) if kind == "memory" else NoCache()
    images = Images(count, size, cache=cache, decode=pictures.read, labels=labels)
    none = Images.of(np.zeros((0, size, size, 3), np.uint8))
    return ImageData(
        images, none, listing.fingerprint, sample=sample, cache=kind, class_names=class_names
    )


def _ordered(config: TrainConfig, *, download: bool) -> OrderedImages:
    kind, _, name = config.data.partition(":")
    if kind == "tfds":
        return tfds_images(name, config, download=download)
    size, seed, count = config.image_size, config.seed, int(name or SYNTHETIC_IMAGES)
    # Evaluation comes from the far end of one seed's flowers, so that the two never overlap.
    train, held_out = range(count), range(count, count + count // 8)
    return OrderedImages(
        identity=f"{config.data} {seed}",
        counts=(len(train), len(held_out)),
        train=lambda: flowers_of(train, image_size=size, seed=seed),
        evaluation=lambda: flowers_of(held_out, image_size=size, seed=seed),
        class_names=tuple(SPECIES),
    )


def _cache_path(folder: Path, identity: str, image_size: int, worker: int) -> Path:
    """Where the files of a worker's cache begin; those of other images are removed."""
    key = hashlib.sha256(f"1 {identity} {image_size}".encode()).hexdigest()[:16]
    path = folder / f"{key}-{worker}"
    for other in folder.glob(f"*-{worker}.*"):
        if other.stem != path.name:
            other.unlink()
    return path


def batches(
    images: Images | NDArray[np.uint8],
    config: TrainConfig,
    *,
    first_step: int,
    shard: tuple[int, int] = (0, 1),
) -> Iterator[Batch]:
    """Batches of steps `first_step`, `first_step` + 1, …, of images flipped at random.

    Each is images uint8 [B, S, S, 3] and labels int64 [B].

    Every epoch shuffles anew; a batch may span two epochs, so no image is left out. A shard
    (index, count) is rows index·B/count … (index + 1)·B/count of each batch, and reads no others.
    Raises what `Images.take` raises.
    """
    store = images if isinstance(images, Images) else Images.of(images)
    first, end = ((shard[0] + k) * config.batch_size // shard[1] for k in (0, 1))
    choice = _choice(len(store), config, rows=slice(first, end))

    def batch(step: int) -> Batch:
        with tf.device("cpu"):
            index, flip = (part.numpy() for part in choice(tf.constant(step, tf.int64)))
            chosen = store.take(index)
            chosen[flip] = chosen[flip, :, ::-1]
            return tf.constant(chosen), tf.constant(store.labels[index])

    return _ahead(batch, first_step)


def _choice(count: int, config: TrainConfig, *, rows: slice) -> Callable[[tf.Tensor], Any]:
    """From a step int64 [] to the images int64 [n] of some rows, and whether to flip each."""
    batch_size = config.batch_size
    shape = [rows.stop - rows.start]
    seed, last = tf.constant(config.seed, tf.int64), tf.constant(count - 1, tf.int64)

    @tf.function(autograph=False)
    def choice(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        position = step * batch_size + tf.range(rows.start, rows.stop, dtype=tf.int64)
        epoch = position // count
        # The raw operator: its wrapper takes only one key for all positions.
        key = tf.stack([tf.fill(shape, seed), epoch, epoch], axis=1)
        index = tf.raw_ops.RandomIndexShuffle(
            index=position % count, seed=key, max_index=tf.fill(shape, last), rounds=4
        )
        coins = tf.random.stateless_uniform(
            [batch_size, 1, 1, 1], stream_seed(config.seed, FLIP, step)
        )
        return index, coins[rows, 0, 0, 0] < 0.5

    return choice


def _ahead(batch: Callable[[int], Batch], first_step: int) -> Iterator[Batch]:
    """Batches in order, the next few of them made by threads meanwhile.

    Threads of Python's own: the interpreter ends while those of tf.data wait for it to decode, and
    an iterator that is still there then, such as that of a run that failed, waits for them forever.
    """
    pool = ThreadPoolExecutor(2, thread_name_prefix="batch")
    steps = itertools.count(first_step)
    try:
        waiting = deque(pool.submit(batch, step) for step in itertools.islice(steps, BATCHES_AHEAD))
        for step in steps:
            made = waiting.popleft().result()
            waiting.append(pool.submit(batch, step))
            yield made
    finally:
        pool.shutdown(cancel_futures=True)
