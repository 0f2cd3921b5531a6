"""The images of a run: read from a folder, a tensorflow-datasets data set, or drawn."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import SYNTHETIC_IMAGES, TrainConfig
from ..errors import InputError
from ..run.directory import DataSummary
from .cache import DiskCache, Images, MemoryCache, chosen_cache
from .folder import Listing, Pictures, list_folder
from .ordered import OrderedImages, decode_all
from .synthetic.dataset import flowers_of
from .synthetic.species import SPECIES
from .tfds import find_builder, tfds_images

_EVAL_IMAGES_USED = 256
# More images would hardly change the statistics of a folder, and delay the first step.
_SAMPLE = 1024


@dataclass(frozen=True)
class ImageData:
    """Images to train on, and held-out images, of which there may be none.

    `sample` are the images of `train` for the statistics, None for all; `cache` is the kind used.
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
        """The first 256 held-out images uint8 [n, R, R, 3], and their labels int64 [n]."""
        first = np.arange(min(len(self.held_out), _EVAL_IMAGES_USED))
        return self.held_out.take(first), self.held_out.labels[first]


def pixel_statistics(
    portions: Iterable[NDArray[np.uint8]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of images [n, S, S, C], where level 255 is 1.

    Exact, whatever the order and size of the portions, except that a channel that is the same
    everywhere gets a deviation of one level. Raises InputError if all channels are.
    """
    counts: Any = 0
    for images in portions:
        channels = images.reshape(-1, images.shape[-1]).T
        counts = counts + [np.bincount(channel, minlength=256) for channel in channels]
    weights, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = weights @ levels
    std = np.sqrt((weights * (levels - mean[:, None]) ** 2).sum(axis=1))
    if std.max() < 1e-3:
        received = f"the images' channels have standard deviations {std.round(5).tolist()}"
        raise InputError(f"{received}: expected pictures that differ from one flat colour")
    return tuple(mean.tolist()), tuple(np.where(std < 1e-3, 1 / 255, std).tolist())


def load_images(
    config: TrainConfig,
    *,
    download: bool = False,
    cache_dir: Path = Path("cache"),
    worker: int = 0,
) -> ImageData:
    """The images of `config.data`, cropped and resized to `config.stored_size`.

    A folder's images are decoded when they are first used, others now. The disk cache writes, or
    reuses, the files of `worker` in `cache_dir`. Raises InputError if there are no images, or not
    the classes that `config` expects.
    """
    source = _source(config, download=download)
    cache, path = chosen_cache(config, sum(source.counts)), None
    if cache == "disk":
        path = _cache_path(cache_dir, source.identity, config.stored_size, worker)
    if isinstance(source, Listing):
        return _of_folder(source, config, cache, path)
    train, held_out, fingerprint = decode_all(source, config.stored_size, path)
    if not len(train):
        split = f"split={config.split} to hold images that eval_split={config.eval_split} does not"
        raise InputError(f"data={config.data}: no image is left to train on; expected {split}")
    class_names = source.class_names if config.num_classes else ()
    if class_names:
        labels = np.concatenate([train.labels, held_out.labels])
        fingerprint = hashlib.sha256(fingerprint.encode() + labels.tobytes()).hexdigest()
    return ImageData(train, held_out, fingerprint, cache=cache, class_names=class_names)


def planned_cache(config: TrainConfig, *, download: bool = False) -> str:
    """The cache that `load_images` would use, and its size in words, without reading an image.

    Raises InputError where `load_images` would, as far as that shows without the images.
    """
    kind, _, name = config.data.partition(":")
    if kind == "tfds" and download and not find_builder(name, config.data_dir).is_prepared():
        return "depends on how many images there are, once they have been downloaded"
    images = sum(_source(config, download=False).counts)
    megabytes = images * config.stored_size**2 * 3 / 1e6
    return f"{chosen_cache(config, images)}, of {images:,} images in {megabytes:,.0f} MB"


def _of_folder(listing: Listing, config: TrainConfig, cache: str, path: Path | None) -> ImageData:
    count, size = len(listing.names), config.stored_size
    labels, names = (listing.labels, listing.class_names) if config.num_classes else (None, ())
    pictures = Pictures(listing, size, by_class=bool(names))
    sample = np.sort(np.random.default_rng(config.seed).permutation(count)[:_SAMPLE])
    pictures.first_readable(sample.tolist())
    if path:
        store = DiskCache(path.with_suffix(".images"), size)
    else:
        store = MemoryCache(count, size) if cache == "memory" else None
    images = Images(count, size, cache=store, decode=pictures.read, labels=labels)
    none = Images(0, size, cache=None, decode=pictures.read)
    return ImageData(images, none, listing.fingerprint, sample, cache, names)


def _source(config: TrainConfig, *, download: bool) -> Listing | OrderedImages:
    """The data of a run; raises InputError if it lacks the classes that `config` expects."""
    kind, _, name = config.data.partition(":")
    if kind == "folder":
        source = list_folder(Path(name))
    elif kind == "tfds":
        source = tfds_images(name, config, download=download)
    else:
        source = _synthetic(int(name or SYNTHETIC_IMAGES), config)
    names = source.class_names
    if config.num_classes in (None, len(names)):
        return source
    received = f"num_classes={config.num_classes}: data={config.data} has"
    if not names:
        remedy = "each in a folder of its own" if kind == "folder" else "or leave it out"
        raise InputError(f"{received} no classes; expected pictures of classes, {remedy}")
    listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    remedy = f"give num_classes={len(names)}, or leave it out"
    raise InputError(f"{received} {len(names)} classes ({listed}); {remedy}")


def _synthetic(count: int, config: TrainConfig) -> OrderedImages:
    size, seed = config.stored_size, config.seed
    # Evaluation continues the numbers of one seed's flowers, so the two never overlap.
    train, held_out = range(count), range(count, count + count // 8)
    return OrderedImages(
        identity=f"{config.data} {seed}",
        counts=(len(train), len(held_out)),
        train=lambda: flowers_of(train, image_size=size, seed=seed),
        evaluation=lambda: flowers_of(held_out, image_size=size, seed=seed),
        class_names=tuple(SPECIES),
    )


def _cache_path(folder: Path, identity: str, image_size: int, worker: int) -> Path:
    """Where the files of a worker's cache begin; files of other images are removed."""
    key = hashlib.sha256(f"1 {identity} {image_size}".encode()).hexdigest()[:16]
    path = folder / f"{key}-{worker}"
    for other in folder.glob(f"*-{worker}.*"):
        if other.stem != path.name:
            other.unlink()
    return path
