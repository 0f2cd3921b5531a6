"""The images of a run: read from a folder, a tensorflow-datasets data set, or drawn.

Arrays from a file take the place of images.
"""

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..config import SYNTHETIC_IMAGES, TrainConfig
from ..errors import InputError
from ..run.directory import DataSummary, RunDirectory
from .arrays import array_files, array_statistics, load_arrays
from .cache import DiskCache, Images, MemoryCache, chosen_cache
from .channels import channels_of, sampled
from .classes import check_classes, check_pictures
from .colours import Colours
from .folder import Pictures, list_folder
from .listing import Listing
from .ordered import Examples, OrderedImages, decode_all
from .pictures import square_pixels
from .reading import READING_VERSION
from .statistics import pixel_statistics
from .synthetic.dataset import flowers_of
from .synthetic.species import SPECIES
from .tfds import find_builder, tfds_images

Statistics = Callable[[Iterable[NDArray[Any]]], tuple[tuple[float, ...], tuple[float, ...]]]

_EVAL_IMAGES_USED = 256
_CLASSES_NAMED = 10


@dataclass(frozen=True)
class ImageData:
    """Images to train on, and held-out images, of which there may be none; or arrays.

    `sample` are the images of `train` for the statistics, None for all; `cache` is the kind used.
    `reading_version` are the rules by which they were chosen, and `words` say what was left out.
    `statistics` measures means and deviations.
    """

    train: Images
    held_out: Images
    fingerprint: str
    sample: NDArray[np.int64] | None = None
    cache: str = "memory"
    class_names: tuple[str, ...] = ()
    reading_version: int = READING_VERSION
    words: str = ""
    statistics: Statistics = pixel_statistics

    def __str__(self) -> str:
        names = ", ".join(self.class_names[:_CLASSES_NAMED])
        more = ", …" if len(self.class_names) > _CLASSES_NAMED else ""
        return f"{self.words} Classes: {names}{more}." if names else self.words

    def summary(self) -> DataSummary:
        """Fingerprint, counts, and the training pixels' mean and standard deviation."""
        statistics = self.statistics(self.train.portions(self.sample))
        of_data = self.fingerprint, *self.counts, *statistics, self.class_names
        return DataSummary(*of_data, self.reading_version)

    def colours(self, config: TrainConfig) -> Colours:
        """How the pixels of its pictures were read."""
        channels, profiles = self.train.shape[-1], self.reading_version > 1
        return Colours(channels, config.levels, profiles=profiles)

    @property
    def counts(self) -> tuple[int, int]:
        """The number of images to train on, and of those held out."""
        return len(self.train), len(self.held_out)

    @cached_property
    def evaluation(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """The first 256 held-out images uint8 [n, R, R, C], and their labels int64 [n].

        Arrays are float32 [n, …].
        """
        first = np.arange(min(len(self.held_out), _EVAL_IMAGES_USED))
        return self.held_out.take(first), self.held_out.labels[first]


def load_images(
    config: TrainConfig,
    *,
    download: bool = False,
    cache_dir: Path = Path("cache"),
    worker: int = 0,
    run: RunDirectory | None = None,
) -> ImageData:
    """The images of `config.data`, by `config.fit` in `config.stored_shape`.

    A folder's images are decoded when they are first used, others now. The disk cache writes, or
    reuses, the files of `worker` in `cache_dir`. A folder is listed by the rules that `run` began
    with, if it has begun, and without the run directory. Raises InputError if there are no images,
    or not the classes that `config` expects.

    Without `config.channels`, they are those that `run` began with; a new run is grey if the images
    for the statistics are.
    """
    if config.of_arrays:
        train, held_out, fingerprint, names = load_arrays(config)
        measured = {"class_names": names, "statistics": array_statistics}
        return ImageData(train, held_out, fingerprint, **measured)
    version, chosen = _version(run), config.channels is None
    source = _source(config, download, run, version)
    config = replace(config, channels=channels_of(source, config, run, version))
    if not isinstance(source, Listing):
        source = _source(config, download, run, version)
    cache, path = chosen_cache(config, sum(source.counts)), None
    if cache == "disk":
        path = _cache_path(cache_dir, f"{source.identity} {_how(config, version)}", worker)
    if isinstance(source, Listing):
        return _of_folder(source, config, cache, path, version, chosen=chosen)
    train, held_out, fingerprint = decode_all(source, config.stored_shape, path)
    if not len(train):
        split = f"split={config.split} to hold images that eval_split={config.eval_split} does not"
        raise InputError(f"data={config.data}: no image is left to train on; expected {split}")
    class_names = source.class_names if config.num_classes else ()
    if class_names:
        labels = np.concatenate([train.labels, held_out.labels])
        fingerprint = hashlib.sha256(fingerprint.encode() + labels.tobytes()).hexdigest()
    return ImageData(train, held_out, fingerprint, None, cache, class_names, version)


def planned_cache(
    config: TrainConfig,
    *,
    download: bool = False,
    run: RunDirectory | None = None,
) -> str:
    """The cache that `load_images` would use, and its size in words, without reading an image.

    Raises InputError where `load_images` would, as far as that shows without the images.
    """
    if config.of_arrays:
        return f"memory, {array_files(config).memory_bytes / 1e6:,.1f} MB of float32"
    if to_download(config, download=download):
        return "depends on how many images there are, once they have been downloaded"
    images = sum(source_of(config, run).counts)
    megabytes = images * math.prod(config.stored_shape) / 1e6
    return f"{chosen_cache(config, images)}, of {images:,} images in {megabytes:,.0f} MB"


def to_download(config: TrainConfig, *, download: bool) -> bool:
    """Whether `load_images` would download the data first."""
    kind, _, name = config.data.partition(":")
    of_tfds = kind == "tfds" and download
    return of_tfds and not find_builder(name, config.data_dir).is_prepared()


def listed(config: TrainConfig, run: RunDirectory) -> Listing | None:
    """The pictures of a folder, unread; None for other data. Raises what `load_images` does."""
    of_folder = config.data.startswith("folder:")
    source = source_of(config, run) if of_folder else None
    return source if isinstance(source, Listing) else None


def source_of(config: TrainConfig, run: RunDirectory | None = None) -> Listing | OrderedImages:
    """The data that `load_images` would read, which is not downloaded; InputError as there."""
    return _source(config, False, run, _version(run))


def _version(run: RunDirectory | None) -> int:
    return (run.reading_version if run else None) or READING_VERSION


def _of_folder(
    listing: Listing,
    config: TrainConfig,
    cache: str,
    path: Path | None,
    version: int,
    *,
    chosen: bool,
) -> ImageData:
    names = listing.class_names if config.num_classes else ()
    side, _, channels = config.stored_shape
    colours = Colours(channels, config.levels, profiles=version > 1)
    train, held_out = (
        Pictures(
            *(files, side),
            labels=listing.labels_of(files) if names else None,
            colours=colours,
            fit=config.fit,
            all_grey=chosen and channels == 1,
        )
        for files in (listing, listing.held_out)
    )
    sample = sampled(len(train), config)
    train.first_readable(sample.tolist())
    images = _when_used(train, cache, path and path.with_suffix(".images"))
    if names:
        _read_classes(images)
    data = ImageData(
        images,
        _when_used(held_out, cache, path and path.with_suffix(".held_out")),
        listing.fingerprint,
        sample,
        cache,
        names,
        version,
        listing.words,
    )
    # A run that has begun could not go on with other pictures.
    _ = data.evaluation
    return data


def _when_used(pictures: Pictures, cache: str, path: Path | None) -> Images:
    """The images of pictures that are decoded when they are first used."""
    count, shape, store = len(pictures), pictures.shape, None
    if count and path:
        store = DiskCache(path, shape)
    elif cache == "memory":
        store = MemoryCache(count, shape)
    return Images(count, shape, cache=store, decode=pictures.read, labels=pictures.labels)


def _read_classes(images: Images) -> None:
    """Raise InputError for a class without a readable picture to train on."""
    _, firsts = np.unique(images.labels, return_index=True)
    for _ in images.portions(firsts):
        pass


def _source(
    config: TrainConfig, download: bool, run: RunDirectory | None, version: int
) -> Listing | OrderedImages:
    """The data of a run; raises InputError if it lacks the classes that `config` expects."""
    kind, _, name = config.data.partition(":")
    if kind == "folder":
        place = run.path if run else None
        source = list_folder(
            Path(name),
            eval_split=config.eval_split,
            labels=config.labels,
            version=version,
            run_dir=place,
        )
    elif kind == "tfds":
        source = tfds_images(name, config, download=download)
    else:
        source = _synthetic(int(name or SYNTHETIC_IMAGES), config)
    check_classes(config, source.class_names)
    if config.num_classes and isinstance(source, Listing):
        check_pictures(source)
    return source


def _synthetic(count: int, config: TrainConfig) -> OrderedImages:
    (size, _, channels), seed = config.stored_shape, config.seed

    def drawn(numbers: Iterable[int]) -> Examples:
        for image, label in flowers_of(numbers, image_size=size, seed=seed):
            yield square_pixels(Image.fromarray(image), size, Colours(channels)), label

    # Evaluation continues the numbers of one seed's flowers, so the two never overlap.
    train, held_out = range(count), range(count, count + count // 8)
    return OrderedImages(
        identity=f"{config.data} {seed}",
        counts=(len(train), len(held_out)),
        train=lambda: drawn(train),
        evaluation=lambda: drawn(held_out),
        class_names=tuple(SPECIES),
    )


def _how(config: TrainConfig, version: int) -> str:
    """What the images in a cache depend on, besides their files; in old runs on their size."""
    side, _, channels = config.stored_shape
    fit = () if config.fit == "crop" else (config.fit,)
    more = (channels, config.levels, version, *fit)
    return str(side) if more == (3, None, 1) else " ".join(map(str, (side, *more)))


def _cache_path(folder: Path, identity: str, worker: int) -> Path:
    """Where the files of a worker's cache begin; files of other images are removed."""
    key = hashlib.sha256(f"1 {identity}".encode()).hexdigest()[:16]
    path = folder / f"{key}-{worker}"
    for other in folder.glob(f"*-{worker}.*"):
        if other.stem != path.name:
            other.unlink()
    return path
