"""A .npz file of arrays: what its headers say, and its numbers. Nothing in it is unpickled.

The file holds `samples` [N, …], and may hold `labels` [N] and `class_names`. Headers alone tell the
shapes (numpy.lib.format), so a file of any size is described at once.
"""

import contextlib
import math
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..config import (
    MOST_AXES,
    MOST_CLASSES,
    MOST_NAME_CHARACTERS,
    MOST_NUMBERS,
    check_array_shape,
)
from ..errors import InputError, first_line

FEWEST_SAMPLES = 8
_SAMPLES, _LABELS, _NAMES = "samples", "labels", "class_names"
_PORTION_BYTES = 2**24
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_HELP = f"save them with numpy.savez(FILE, {_SAMPLES}=…)"


class Header(NamedTuple):
    """What the header of one array says."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool


@dataclass(frozen=True)
class ArrayFile:
    """The samples of a file, which the array `name` holds, and the classes that they have.

    `class_names` are empty where the file names none, and `labels` say whether there are labels.
    """

    path: Path
    name: str
    header: Header
    labels: bool
    class_names: tuple[str, ...]

    @property
    def count(self) -> int:
        """The number of samples."""
        return self.header.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample, 1 to 3 axes."""
        return self.header.shape[1:]

    def read_samples(self) -> NDArray[np.float32]:
        """All samples, float32 [N, …].

        Raises InputError if the file is damaged, or holds NaN, infinity or what float32 cannot.
        """
        samples = np.empty(self.header.shape, np.float32)
        with _opened(self.path) as file, file.open(f"{self.name}.npy") as member:
            done = 0
            for portion in _portions(member, self.header):
                # What overflows becomes infinite, and is named below.
                with np.errstate(over="ignore", invalid="ignore"):
                    samples[done : done + len(portion)] = portion
                _check_finite(self.path, self.name, samples, done, len(portion))
                done += len(portion)
        return samples

    def read_labels(self) -> NDArray[np.int64]:
        """The class of each sample, int64 [N], −1 for none; InputError for another number."""
        labels = _read(self.path, _LABELS).astype(np.int64)
        most = (len(self.class_names) or MOST_CLASSES) - 1
        wrong = np.flatnonzero((labels < -1) | (labels > most))
        if len(wrong):
            received = f"row {wrong[0]} of {_LABELS!r} is {labels[wrong[0]]}"
            expected = f"expected 0 to {most}, or -1 for no class"
            raise _error(self.path, f"{received}; {expected}; correct it")
        return labels

    def names_of(self, labels: NDArray[np.int64]) -> tuple[str, ...]:
        """The names of classes 0, 1, …: the file's own, or the numbers up to the greatest label."""
        return self.class_names or tuple(map(str, range(int(labels.max(initial=-1)) + 1)))


def open_arrays(path: Path) -> ArrayFile:
    """What the headers of a .npz file say; InputError for a file that cannot be trained on."""
    with _opened(path) as file:
        headers = {
            info.filename.removesuffix(".npy"): _header(path, file, info)
            for info in file.infolist()
            if info.filename.endswith(".npy")
        }
    name = _name_of_samples(path, headers)
    _check_samples(path, name, headers[name])
    if _LABELS in headers:
        _check_labels(path, headers[_LABELS], headers[name].shape[0])
    names = _class_names(path, headers[_NAMES]) if _NAMES in headers else ()
    return ArrayFile(path, name, headers[name], _LABELS in headers, names)


def _error(path: Path, problem: str) -> InputError:
    return InputError(f"npz:{path}: {problem}")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The file as a zip; InputError if it is none, or is damaged where it is read."""
    if not path.is_file():
        fault = "is not a file" if path.exists() else "does not exist"
        raise _error(path, f"{fault}; expected a .npz file; check the path")
    try:
        with zipfile.ZipFile(path) as file:
            yield file
    except (InputError, MemoryError):
        raise
    except Exception as error:
        # What damage makes zipfile and its decompressors raise is not documented.
        problem = f"cannot be read as a .npz file ({first_line(error)})"
        raise _error(path, f"{problem}; expected one that numpy wrote whole; {_HELP}") from error


def _header(path: Path, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Header:
    """The header of an array, after which the file must hold all of its numbers."""
    with file.open(info) as member:
        version = npy.read_magic(member)
        if version not in _READERS:
            problem = f"{info.filename!r} is of version {version} of numpy's format"
            raise _error(path, f"{problem}; expected 1.0 or 2.0; {_HELP}")
        shape, fortran_order, dtype = _READERS[version](member)
        header, start = Header(shape, dtype, fortran_order), member.tell()
    needed = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and info.file_size != start + needed:
        problem = f"{info.filename!r} holds {info.file_size - start:,} bytes of numbers"
        expected = f"expected {needed:,}, for its shape {list(shape)}"
        raise _error(path, f"{problem}; {expected}; {_HELP}")
    return header


def _name_of_samples(path: Path, headers: dict[str, Header]) -> str:
    """The array of samples: `samples`, or else the only one besides labels and names."""
    others = [name for name in headers if name not in (_LABELS, _NAMES)]
    if _SAMPLES in others:
        return _SAMPLES
    if len(others) == 1:
        return others[0]
    problem = f"holds {', '.join(map(repr, headers)) or 'no array'}"
    raise _error(path, f"{problem}; expected an array named {_SAMPLES!r}; {_HELP}")


def _check_samples(path: Path, name: str, header: Header) -> None:
    """Raise InputError for samples that cannot be trained on."""
    (shape, dtype, _), received = header, f"{name!r} is {header.dtype} {list(header.shape)}"
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        expected = "expected float16, float32, float64 or whole numbers"
        raise _error(path, f"{received}; {expected}; convert it")
    if not 2 <= len(shape) <= MOST_AXES + 1:
        expected = "expected [N, D], [N, T, C] or [N, H, W, C]"
        raise _error(path, f"{received}; {expected}; reshape it")
    if shape[0] < FEWEST_SAMPLES:
        expected = f"expected at least {FEWEST_SAMPLES} samples"
        raise _error(path, f"{received}; {expected}; give more")
    try:
        check_array_shape(shape[1:])
    except InputError as error:
        expected = f"expected no empty axis, and at most {MOST_NUMBERS:,} numbers in a sample"
        raise _error(path, f"{received}; {expected}; reshape it") from error


def _check_labels(path: Path, header: Header, count: int) -> None:
    if header.dtype.kind not in "iu" or header.shape != (count,):
        received = f"{_LABELS!r} is {header.dtype} {list(header.shape)}"
        raise _error(path, f"{received}; expected whole numbers [{count}]; correct it")


def _class_names(path: Path, header: Header) -> tuple[str, ...]:
    """The names in a file, which are few and short."""
    (shape, dtype, _) = header
    size = shape[0] if len(shape) == 1 else 0
    if dtype.kind != "U" or not 1 <= size <= MOST_CLASSES or dtype.itemsize > 2**12:
        received = f"{_NAMES!r} is {dtype} {list(shape)}"
        limits = f"{MOST_CLASSES:,} strings of at most {MOST_NAME_CHARACTERS} characters"
        raise _error(path, f"{received}; expected 1 to {limits}; correct it")
    names = tuple(map(str, _read(path, _NAMES)))
    ((name, times),) = Counter(names).most_common(1)
    if times > 1:
        raise _error(path, f"{_NAMES!r} has {name!r} twice; expected other names; rename one")
    return names


def _read(path: Path, name: str) -> NDArray:
    """A whole array whose header was checked."""
    with _opened(path) as file, file.open(f"{name}.npy") as member:
        return npy.read_array(member, allow_pickle=False)


def _portions(member: IO[bytes], header: Header) -> Iterator[NDArray]:
    """The samples some megabytes at a time, except in Fortran's order, where they lie scattered."""
    version = npy.read_magic(member)
    _READERS[version](member)
    shape, dtype, fortran_order = header
    if fortran_order:
        numbers = np.frombuffer(member.read(), dtype)
        yield numbers.reshape(shape[::-1]).transpose()
        return
    row_bytes = dtype.itemsize * math.prod(shape[1:])
    rows = max(1, _PORTION_BYTES // row_bytes)
    for start in range(0, shape[0], rows):
        count = min(rows, shape[0] - start)
        yield np.frombuffer(member.read(count * row_bytes), dtype).reshape(count, *shape[1:])
    # The check of the whole member comes at its end.
    member.read()


def _check_finite(
    path: Path, name: str, samples: NDArray[np.float32], start: int, count: int
) -> None:
    """Raise InputError for the first of some rows that is not finite in float32."""
    rows = samples[start : start + count].reshape(count, -1)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        row = start + int(np.argmin(finite))
        problem = f"row {row} of {name!r} holds NaN, infinity or a number too large for float32"
        raise _error(path, f"{problem}; expected finite numbers; correct or remove it")
