"""Images of a prepared tensorflow-datasets data set."""

import contextlib
import difflib
import hashlib
import itertools
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..config import TrainConfig
from ..errors import InputError, first_line
from .colours import Colours
from .ordered import Examples, OrderedImages
from .pictures import square_pixels

_PORTION = 64


def tfds_images(name: str, config: TrainConfig, *, download: bool) -> OrderedImages:
    """The images of `config.split` and `config.eval_split`, cut square, in their stored order.

    The data set is prepared under `config.data_dir` (None: the default of tensorflow-datasets), or
    `download` prepares it there. Raises InputError for an unknown name or split, a data set that is
    not prepared or cannot be downloaded, or one without images.
    """
    builder = _prepared_builder(name, config.data_dir, download=download)
    feature, label = _features(name, builder)
    splits = [config.split or "train"] + ([config.eval_split] if config.eval_split else [])
    counts, stored = zip(*(_split(name, builder, split) for split in splits), strict=True)

    def square(example: dict) -> tuple[np.ndarray, int]:
        pixels = example[feature].numpy()
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        side, _, channels = config.stored_shape
        pixels = square_pixels(image, side, Colours(channels, config.levels))
        return pixels, int(example[label]) if label else -1

    def squares(examples: Iterable[dict]) -> Examples:
        remaining = iter(examples)
        with ThreadPoolExecutor() as pool:
            # In portions, which limit how many decoded photographs wait.
            while portion := list(itertools.islice(remaining, _PORTION)):
                yield from pool.map(square, portion)

    return OrderedImages(
        identity=f"{builder.info.full_name} {splits} {_state(Path(builder.data_path))}",
        counts=(counts[0], counts[1] if config.eval_split else 0),
        train=lambda: squares(stored[0]),
        evaluation=lambda: squares(stored[1] if config.eval_split else ()),
        class_names=tuple(builder.info.features[label].names) if label else (),
    )


def _split(name: str, builder: Any, split: str) -> tuple[int, Iterable[dict]]:
    """The count and the examples of a split."""
    try:
        count = builder.info.splits[split].num_examples
        examples = builder.as_dataset(split=split)
    except (ValueError, KeyError, AssertionError) as error:
        expected = f"expected one or a combination of {', '.join(builder.info.splits)}"
        raise InputError(f"split={split}: not a split of tfds:{name}, {expected}") from error
    if count < 1:
        raise InputError(f"split={split}: holds no image of tfds:{name}; choose a larger slice")
    return count, examples


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


def _features(name: str, builder: Any) -> tuple[str, str | None]:
    """The names of the image feature and of the class label, None if there is no label."""
    import tensorflow_datasets as tfds

    def first(kind: type) -> str | None:
        features = builder.info.features.items()
        return next((key for key, feature in features if isinstance(feature, kind)), None)

    image = first(tfds.features.Image)
    if image is None:
        raise InputError(f"data=tfds:{name}: has no image feature; choose a data set of images")
    return image, first(tfds.features.ClassLabel)
