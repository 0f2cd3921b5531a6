"""Checks of values that people give as settings, in Python as on the command line."""

import json
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from ..trainer.errors import InputError

_EXPECTED: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    bool | None: ((bool, NoneType), "True or False, or None"),
    float: ((Real,), "a number"),
    float | None: ((Real, NoneType), "a number, or None"),
    int | None: ((Integral, NoneType), "a whole number, or None"),
    str | None: ((str, PathLike, NoneType), "a path, or None"),
}


def check_type(name: str, value: Any, kind: Any) -> None:
    """Raise InputError for a value that is not of the type of its setting."""
    kinds, words = _EXPECTED.get(kind, ((object,), ""))
    # A bool is an int to Python, but hardly ever meant as a number.
    if not isinstance(value, kinds) or (isinstance(value, bool) and kinds[0] in (Real, Integral)):
        raise InputError(f"{name}={value!r}: expected {words}")


def check_list(name: str, values: Any, of_what: str) -> None:
    """Raise InputError for what is no list, tuple or other collection; a text is none here."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name}={values!r}: expected a list of {of_what}")


def check_json(name: str, values: Any) -> None:
    """Raise InputError for values that JSON cannot hold."""
    try:
        json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name}: {error}; expected JSON values, such as float(x) of a NumPy number"
        ) from error


def is_whole(value: object, least: int, most: int) -> bool:
    """Whether a value is a whole number in this range; a bool is none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def per_channel(
    name: str, values: float | Sequence[float], channels: int, *, least: float
) -> tuple[float, ...]:
    """One number per channel, each from `least` to 1; InputError for others."""
    numbers = _one_each(values, channels)
    if numbers.shape != (channels,) or not np.all((least <= numbers) & (numbers <= 1)):
        raise InputError(
            f"{name}={values}: expected one number, or one for each of {channels} channels, from "
            f"{least:g} to 1, in units where pixels lie in [0, 1]"
        )
    return tuple(numbers.tolist())


def per_entry(
    name: str, values: float | Sequence[float], entries: int, *, positive: bool = False
) -> tuple[float, ...]:
    """One finite number per entry of an array's last axis; InputError for others."""
    numbers = _one_each(values, entries)
    fits = np.isfinite(numbers) & ((numbers > 0) | (not positive))
    if numbers.shape != (entries,) or not np.all(fits):
        above = " above 0" if positive else ""
        raise InputError(
            f"{name}={values}: expected one finite number, or one for each of the {entries} "
            f"entries of an array's last axis{above}"
        )
    return tuple(numbers.tolist())


def _one_each(values: float | Sequence[float], count: int) -> np.ndarray:
    numbers = np.atleast_1d(np.asarray(values, np.float64))
    return np.repeat(numbers, count) if numbers.size == 1 else numbers


def is_onnx(path: PathLike[str] | str) -> bool:
    """Whether a file name ends in .onnx."""
    return Path(path).suffix.lower() == ".onnx"


def check_network_path(network: Path, name: str = "network") -> None:
    """Raise InputError, which begins with this name, unless a network can be in this file."""
    if network.is_dir():
        kind = "a SavedModel" if (network / "saved_model.pb").is_file() else "a folder"
        raise InputError(
            f"{name}={network}: is {kind}; expected the .keras file that model.save wrote, or an "
            ".onnx file"
        )
    if not network.is_file():
        raise InputError(
            f"{name}={network}: no such file; expected one that model.save wrote, or an .onnx file"
        )


def read_names(file: Path) -> tuple[str, ...]:
    """The names of classes in a text file; InputError for one that cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--class_names={file}: cannot be read ({error}); expected a text file in UTF-8 with "
            "the name of each class on a line"
        ) from error
    if not lines:
        raise InputError(f"--class_names={file}: is empty; expected a name on each line")
    if blank := [place for place, line in enumerate(lines, 1) if not line.strip()]:
        raise InputError(
            f"--class_names={file}: line {blank[0]} is blank; expected a name on each line, that "
            "of class 0 on the first"
        )
    return tuple(line.strip() for line in lines)


def may_be_meant(array: np.ndarray) -> bool:
    """Whether numbers are finite, or one number by itself, or a mask of 0 and −∞."""
    finite = np.isfinite(array)
    return bool(
        finite.all()
        or array.size == 1
        or (finite.any() and (array[~finite] < 0).all() and not array[finite].any())
    )
