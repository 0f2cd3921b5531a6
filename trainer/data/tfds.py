"""Images of a prepared tensorflow-datasets data set."""

import contextlib
import difflib
import hashlib
import itertools
import logging
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..config import TrainConfig
from ..errors import InputError, first_line
from .colours import Colours, in_8_bits
from .ordered import Examples, OrderedImages
from .pictures import square_pixels
from .tfds_features import chosen_features, value_at

_LOGGER = logging.getLogger("diffkiln.trainer")
_PORTION = 64
_PREPARE = "restore its files, or prepare the data set again"


def tfds_images(name: str, config: TrainConfig, *, download: bool) -> OrderedImages:
    """The images of `config.split` and `config.eval_split` as squares, in their stored order.

    The data set is prepared under `config.data_dir` (None: the default of tensorflow-datasets), or
    `download` prepares it there. The logger "diffkiln.trainer" names each image that cannot be
    read. Raises InputError for an unknown name or split, a data set that is not prepared or cannot
    be downloaded, one without images of 8 or 16 bits, or features that are not as `config` says.
    """
    builder = _prepared_builder(name, config.data_dir, download=download)
    features = builder.info.features
    feature, label = chosen_features(name, features, config)
    splits = [config.split or "train"] + ([config.eval_split] if config.eval_split else [])
    counts, stored = zip(*(_split(name, builder, feature, split) for split in splits), strict=True)
    decode = value_at(features, feature).decode_example

    side, _, channels = config.stored_shape
    classes = value_at(features, label).names if label else ()

    def square(example: dict) -> tuple[np.ndarray | str, int]:
        """The image and its class, or why it cannot be read."""
        number = int(value_at(example, label)) if label else -1
        try:
            image = _image(decode(value_at(example, feature)).numpy(), config.levels)
            return square_pixels(image, side, Colours(channels), config.fit), number
        except Exception as error:
            return _in_words(error), number

    def squares(place: int) -> Examples:
        remaining = _records(name, stored[place], counts[place])
        read: set[int] = set()
        unreadable: dict[int, str] = {}
        with ThreadPoolExecutor() as pool:
            # In portions, which limit how many decoded photographs wait.
            while portion := list(itertools.islice(remaining, _PORTION)):
                for image, number in pool.map(square, portion):
                    if isinstance(image, str):
                        _LOGGER.warning("data=tfds:%s: left out an image (%s)", name, image)
                        unreadable.setdefault(number, image)
                    else:
                        read.add(number)
                        yield image, number
        for number, fault in unreadable.items():
            if number not in read:
                of_class = f" of class {classes[number]!r}" if number >= 0 else ""
                problem = f"data=tfds:{name}: no image{of_class} can be read ({fault})"
                raise InputError(f"{problem}; {_PREPARE}")

    # Older versions chose the features themselves, and their caches are still used.
    chosen = f" {feature} {label}" if config.image_feature or config.label_feature else ""
    return OrderedImages(
        identity=f"{builder.info.full_name} {splits} {_state(Path(builder.data_path))}{chosen}",
        counts=(counts[0], counts[1] if config.eval_split else 0),
        train=lambda: squares(0),
        evaluation=lambda: squares(1) if config.eval_split else iter(()),
        class_names=tuple(classes),
        channels=1 if value_at(features, feature).shape[-1] == 1 else 3,
    )


def _image(pixels: np.ndarray, levels: tuple[float, float] | None) -> Image.Image:
    """A picture of pixels [height, width, channels], uint8, or others between two levels."""
    if pixels.dtype != np.uint8:
        pixels = in_8_bits(pixels, levels)
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _split(name: str, builder: Any, feature: str, split: str) -> tuple[int, Iterable[dict]]:
    """The count and the records of a split, whose images are still encoded."""
    import tensorflow_datasets as tfds

    try:
        count = builder.info.splits[split].num_examples
        encoded: Any = tfds.decode.SkipDecoding()
        for key in reversed(feature.split("/")):
            encoded = {key: encoded}
        records = builder.as_dataset(split=split, decoders=encoded)
    except (ValueError, KeyError, AssertionError) as error:
        expected = f"expected one or a combination of {', '.join(builder.info.splits)}"
        raise InputError(f"split={split}: not a split of tfds:{name}, {expected}") from error
    if count < 1:
        raise InputError(f"split={split}: holds no image of tfds:{name}; choose a larger slice")
    return count, records


def _records(name: str, dataset: Iterable[dict], count: int) -> Iterator[dict]:
    """Yield the records that can be read of `count`; a warning says how many others there are.

    Raises InputError for a file that cannot be read at all, and if no record can be read.
    """
    import tensorflow as tf

    remaining, read, fault = iter(dataset), 0, "its files end too early"
    # TensorFlow gives up a file at its first damaged record, and goes on with the next file.
    for _ in range(2 * count + 1):
        try:
            record = next(remaining)
        except tf.errors.DataLossError as error:
            fault = _in_words(error)
        # tensorflow-datasets compares the number of records in the end.
        except (StopIteration, tf.errors.FailedPreconditionError):
            break
        except tf.errors.OpError as error:
            raise InputError(f"data=tfds:{name}: {_in_words(error)}; {_PREPARE}") from error
        else:
            read += 1
            yield record
    lost = f"{count - read:,} of {count:,} records cannot be read ({fault})"
    if not read:
        raise InputError(f"data=tfds:{name}: {lost}; {_PREPARE}")
    if read < count:
        _LOGGER.warning("data=tfds:%s: %s and are left out", name, lost)


def _in_words(error: Exception) -> str:
    """TensorFlow's error without the names of its operators."""
    return re.sub(r"\{\{.*?\}\} | *\[Op:.*", "", str(error).partition("\n")[0])[:200]


def _state(folder: Path) -> str:
    """A digest of the names, sizes and times of the last change of a data set's files."""
    files = [(path.name, path.stat()) for path in sorted(folder.glob("*"))]
    lines = [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def find_builder(name: str, data_dir: str | None) -> Any:
    """The builder of a data set, prepared or not; raises InputError for an unknown name."""
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except (ValueError, ImportError, OSError, AttributeError) as error:
        # DatasetNotFoundError and malformed names are ValueErrors.
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        hint = f"did you mean tfds:{near[0]}?" if near else "see the tensorflow-datasets catalog"
        problem = "not a known tensorflow-datasets name"
        raise InputError(f"data=tfds:{name}: {problem}; {hint}") from error


def _prepared_builder(name: str, data_dir: str | None, *, download: bool) -> Any:
    builder = find_builder(name, data_dir)
    if builder.is_prepared():
        return builder
    place = data_dir or builder.data_path
    if not download:
        problem = f"data=tfds:{name}: not prepared under {place}; give its place with --data_dir"
        raise InputError(f"{problem}, or add --download to download and prepare it there")
    folder = next(p for p in Path(builder.data_path).parents if p.name == builder.name)
    before = _paths_of(folder)
    try:
        builder.download_and_prepare()
    except Exception as error:
        # The downloader raises whatever its transport raises, which means the same to a user.
        clear_partial_download(folder, before)
        raise InputError(
            f"data=tfds:{name}: could not be downloaded and prepared under {place} "
            f"({type(error).__name__}: {first_line(error)}); check the network, or prepare it "
            "elsewhere and give its place with --data_dir"
        ) from error
    return builder


def _paths_of(folder: Path) -> set[Path]:
    """The data set's folder, the downloads beside it, all that is in them, and their parent."""
    roots = (folder, folder.parent / "downloads")
    paths = {folder.parent, *roots, *(path for root in roots for path in root.rglob("*"))}
    return {path for path in paths if path.exists()}


def clear_partial_download(folder: Path, before: set[Path]) -> None:
    """Remove unfinished files and empty folders that did not exist `before`; whole files stay."""
    for path in sorted(_paths_of(folder) - before, reverse=True):
        if path.is_dir():
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        elif ".tmp." in str(path) or ".incomplete" in str(path):
            path.unlink()
