"""Arrays that are no pictures, as the images of a run: in memory, and some of them held out.

Whether a sample is held out follows from its numbers alone, so the order of the file does not
matter, and two equal samples are never on both sides.
"""

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..config import TrainConfig
from ..errors import InputError
from ..maths import units
from .cache import Images, machine_memory_bytes
from .classes import check_classes
from .npz import ArrayFile, open_arrays

_PREFIX = "npz:"


class Arrays(Images):
    """Some `rows` int64 [n] of samples float32 [N, …], with labels int64 [N] or without."""

    def __init__(
        self,
        samples: NDArray[np.float32],
        rows: NDArray[np.int64],
        labels: NDArray[np.int64] | None,
    ) -> None:
        self._samples, self._rows = samples, rows
        of_rows = None if labels is None else labels[rows]
        count, shape = len(rows), samples.shape[1:]
        super().__init__(count, shape, cache=None, decode=self._one, labels=of_rows)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The samples of `indices` int64 [n], float32 [n, …]."""
        return self._samples[self._rows[indices]]

    def _one(self, index: int) -> NDArray[np.float32]:
        return self._samples[self._rows[index]]


class ArraySets(NamedTuple):
    """Arrays to train on and to hold out, the SHA-256 of numbers and labels, and the classes."""

    train: Arrays
    held_out: Arrays
    fingerprint: str
    class_names: tuple[str, ...]


class ArrayFiles(NamedTuple):
    """The file to train on, and another one that is held out."""

    train: ArrayFile
    held_out: ArrayFile | None

    @property
    def memory_bytes(self) -> int:
        """What all samples take as float32."""
        return sum(4 * math.prod(file.header.shape) for file in self if file)


def array_files(config: TrainConfig) -> ArrayFiles:
    """The files of `config.data` and `config.eval_split`, of which only the headers are read.

    Raises InputError for a file that cannot be trained on, for samples of two shapes, for data
    without labels where `config.num_classes` needs them, and for more samples than memory.
    """
    train, other = open_arrays(Path(config.data.removeprefix(_PREFIX))), None
    if (config.eval_split or "").startswith(_PREFIX):
        other = open_arrays(Path(str(config.eval_split).removeprefix(_PREFIX)))
    for file in (train, other):
        _check(file, config)
    files = ArrayFiles(train, other)
    needed, memory = files.memory_bytes, machine_memory_bytes()
    if needed > memory:
        problem = f"its samples take {needed / 1e9:,.1f} GB as float32"
        expected = f"expected at most the {memory / 1e9:,.1f} GB of this machine's memory"
        raise InputError(f"data={config.data}: {problem}; {expected}; give fewer samples")
    return files


def _check(file: ArrayFile | None, config: TrainConfig) -> None:
    """Raise InputError for a file of another shape, or one that lacks labels."""
    if file is None:
        return
    if file.shape != config.array_shape:
        problem = f"its samples have shape {list(file.shape)}"
        expected = f"expected {list(config.array_shape or ())}, as the others have"
        raise InputError(f"{_PREFIX}{file.path}: {problem}; {expected}; give another file")
    if config.num_classes is not None and not file.labels:
        problem = f"{_PREFIX}{file.path} has no array 'labels'; add one, or leave num_classes out"
        raise InputError(f"num_classes={config.num_classes}: {problem}")


def load_arrays(config: TrainConfig) -> ArraySets:
    """The arrays of `config.data`, divided as `config.eval_split` says.

    Held-out arrays come in an order that follows from their numbers. Raises InputError as
    `array_files` does, and for numbers that are not finite, classes that are not those of
    `config.num_classes`, and nothing left to train on.
    """
    file, other = array_files(config)
    samples, labels, names = _read(file, config)
    check_classes(config, names)
    rows, chosen = np.arange(len(samples)), np.arange(0)
    if other is None and config.eval_split:
        rows, chosen = _divided(_numbers(samples), config.eval_split)
    train, digest = Arrays(samples, rows, labels), _digest(samples, labels)
    _check_trained(train, names)
    if other is None:
        return ArraySets(train, Arrays(samples, chosen, labels), digest, names)
    held_out, of_other = _held_out(other, config, names)
    digest = hashlib.sha256((digest + of_other).encode()).hexdigest()
    return ArraySets(train, held_out, digest, names)


def _read(
    file: ArrayFile, config: TrainConfig
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None, tuple[str, ...]]:
    """Samples, and labels and classes if the network learns them."""
    if config.num_classes is None:
        return file.read_samples(), None, ()
    labels = file.read_labels()
    return file.read_samples(), labels, file.names_of(labels)


def _held_out(file: ArrayFile, config: TrainConfig, names: tuple[str, ...]) -> tuple[Arrays, str]:
    """All samples of another file, and their digest; InputError for other classes."""
    samples, labels, theirs = _read(file, config)
    if len(theirs) > len(names) or (file.class_names and theirs != names):
        problem = f"has {len(theirs)} classes ({', '.join(theirs[:3])}, …)"
        expected = f"expected those of {config.data}"
        raise InputError(f"eval_split={config.eval_split}: {problem}; {expected}; correct them")
    rows = np.argsort(_numbers(samples), kind="stable")
    return Arrays(samples, rows, labels), _digest(samples, labels)


def _divided(
    numbers: NDArray[np.float64], eval_split: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train on, in order, and those to hold out by their `numbers`, at least one."""
    limit = max(float(eval_split.removesuffix("%")) / 100, numbers.min())
    order = np.argsort(numbers, kind="stable")
    train, held_out = np.flatnonzero(numbers > limit), order[numbers[order] <= limit]
    if not len(train):
        problem = f"holds out all of {len(numbers)} samples"
        remedy = "give a smaller share, or more samples that differ"
        raise InputError(f"eval_split={eval_split}: {problem}; {remedy}")
    return train, held_out


def _check_trained(train: Arrays, names: tuple[str, ...]) -> None:
    """Raise InputError for a class without a sample to train on."""
    present = set(train.labels.tolist())
    if lacking := [name for number, name in enumerate(names) if number not in present]:
        problem = f"no sample of class {lacking[0]!r} to train on"
        raise InputError(f"{problem}; expected at least one that is not held out; add some")


def _numbers(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """A number in [0, 1) for each sample, the same wherever it is."""
    digests = (hashlib.sha256(_bytes(sample)).digest() for sample in samples)
    first = np.frombuffer(b"".join(digest[:8] for digest in digests), ">u8")
    return first.astype(np.float64) / 2**64


def _digest(samples: NDArray[np.float32], labels: NDArray[np.int64] | None) -> str:
    """The SHA-256 of the shape, all numbers and all labels."""
    digest = hashlib.sha256(str(samples.shape).encode())
    digest.update(_bytes(samples))
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, "<i8").data)
    return digest.hexdigest()


def _bytes(samples: NDArray[np.float32]) -> memoryview:
    return np.ascontiguousarray(samples, "<f4").data


def array_statistics(
    portions: Iterable[NDArray[np.float32]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of arrays [n, …, C] for each entry of the last axis.

    An entry that is the same everywhere gets a deviation of 1, or of a millionth of a number above
    10⁶. Sums are in float64, of differences from the first numbers, so that a large mean costs no
    digits. Raises InputError for numbers that float32 cannot hold.
    """
    count, origin, sums, squares = 0, None, 0.0, 0.0
    for samples in portions:
        rows = samples.reshape(-1, samples.shape[-1]).astype(np.float64)
        origin = rows[0].copy() if origin is None else origin
        rows -= origin
        count, sums, squares = count + len(rows), sums + rows.sum(0), squares + (rows**2).sum(0)
    if origin is None:
        raise InputError("the data has no samples to train on; give some")
    apart = sums / count
    std = np.sqrt(np.maximum(squares / count - apart**2, 0))
    mean = origin + apart
    # What float32 cannot divide by counts as the same everywhere.
    std = np.where(std < np.finfo(np.float32).tiny, np.maximum(1.0, np.abs(mean) / 1e6), std)
    if reason := units.problem(mean.tolist(), std.tolist()):
        raise InputError(f"the data: {reason}")
    return tuple(mean.tolist()), tuple(std.tolist())
