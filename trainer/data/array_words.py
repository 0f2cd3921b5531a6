"""What a file of arrays holds, in words."""

from collections import Counter
from collections.abc import Sequence

from .arrays import ArrayFiles
from .cache import Images
from .load import ImageData

_SHOWN = 8


def in_headers(files: ArrayFiles) -> str:
    """What the headers of the files say: how many samples, their shape, and their type."""
    (count, *shape), dtype, _ = files.train.header
    labels = "with labels" if files.train.labels else "without labels"
    other = f"; {files.held_out.count:,} others held out" if files.held_out else ""
    return f"{count:,} samples of shape {shape}, {dtype}, {labels}{other}"


def numbers_in_words(arrays: Images, mean: Sequence[float], std: Sequence[float]) -> str:
    """The range of the samples to train on, and mean and deviation for each entry."""
    ends = [(portion.min(), portion.max()) for portion in arrays.portions()]
    least, most = min(low for low, _ in ends), max(high for _, high in ends)
    return f"{least:g} to {most:g}, of mean {_first(mean)} and deviation {_first(std)}"


def _first(numbers: Sequence[float]) -> str:
    more = " …" if len(numbers) > _SHOWN else ""
    return " ".join(f"{each:g}" for each in numbers[:_SHOWN]) + more


def classes_in_words(data: ImageData) -> str:
    """How many samples to train on the largest classes have; nothing without classes."""
    counts = Counter(data.train.labels.tolist())
    names = dict(enumerate(data.class_names))
    known = [(name, counts[number]) for number, name in names.items()]
    known.sort(key=lambda each: -each[1])
    listed = ", ".join(f"{name} {count:,}" for name, count in known[:_SHOWN])
    return f"{listed}, and {len(known) - _SHOWN:,} more" if len(known) > _SHOWN else listed
