"""Reads what --condition gives: a .npy file, a picture, or a few numbers."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..bundle.bundle import Bundle
from ..bundle.conditions import Condition
from ..engine.conditions import condition_rows, given_or_default, require_names
from ..output.images import CHANNELS
from .options import bad_flag, file_path, flag_errors
from .seeds import seeds_of

_NUMPY = b"\x93NUMPY"


class Conditions(NamedTuple):
    """Conditions of a job's images by name, each [1, …] for all of them or [N, …].

    Of those, row i belongs to the image of `numbers[i]`, int64 [N]. `sha256` are of all rows of the
    whole job, of which this may be a part.
    """

    rows: Mapping[str, np.ndarray]
    numbers: np.ndarray
    sha256: Mapping[str, str]

    def of(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Return the conditions of some of the images, as a Sampler takes them."""
        order = np.argsort(self.numbers)
        places = order[np.searchsorted(self.numbers, numbers, sorter=order)]
        return {name: rows[places if len(rows) > 1 else [0]] for name, rows in self.rows.items()}

    def record(self) -> dict[str, str]:
        """Return what determines the images, as JSON has it."""
        return {f"condition_{name}_sha256": digest for name, digest in self.sha256.items()}


def named_value(text: str) -> tuple[str, str]:
    """Parse NAME=VALUE."""
    name, found, value = text.partition("=")
    if not (name and found and value):
        raise ValueError("expected a name and a value, like text=prompt.npy")
    return name, value


def conditions_of(
    values: Mapping[str, Any], bundle: Bundle, made: Sequence[str] = ()
) -> Conditions | None:
    """Return the conditions that the flags give, or None for a bundle that takes none.

    Those that are `made` from other flags are not among them. Raises UsageError for one that is
    missing, unknown, given twice or does not fit.
    """
    given: Sequence[tuple[str, str]] = values.get("condition") or ()
    if not bundle.conditions and not given:
        return None
    for number, (name, text) in enumerate(given):
        if name in dict(given[:number]):
            raise bad_flag("condition", f"{name}={text}", "was given before; give each name once")
        if name in made:
            raise bad_flag("condition", f"{name}={text}", "is made from other flags; leave it out")
    with flag_errors():
        require_names(bundle, {**dict(given), **dict.fromkeys(made)})
    numbers, shard = _numbers(values), values["shard"]
    rows = {}
    for condition in (each for each in bundle.conditions if each.name not in made):
        text = dict(given).get(condition.name)
        try:
            read = {} if text is None else {condition.name: _value(condition, text, bundle)}
            value = given_or_default(condition, read)
            rows[condition.name] = condition_rows(condition, value, len(numbers))
        except ValueError as error:
            raise bad_flag("condition", f"{condition.name}={text}", str(error)) from error
    sha256 = {name: hashlib.sha256(array).hexdigest() for name, array in rows.items()}
    if shard is not None:
        rows = {name: shard.part(a).copy() if len(a) > 1 else a for name, a in rows.items()}
        numbers = shard.part(numbers)
    return Conditions(rows, numbers, sha256)


def _numbers(values: Mapping[str, Any]) -> np.ndarray:
    """The numbers of all images of a job, those of other shards among them."""
    if values["reconstruct"] is not None:
        return np.zeros(1, np.int64)
    frames = {} if values["interpolate_to"] is None else {"seed": 0}
    return seeds_of({**values, "shard": None, **frames})


def _value(condition: Condition, text: str, bundle: Bundle) -> np.ndarray:
    """The array that a text stands for; ValueError says what is wrong with it."""
    if re.fullmatch(r"[-+.,\s]*[0-9][-+.,0-9eE\s]*", text):
        return _listed(condition, text)
    path = file_path(text)
    *size, channels = condition.shape or [0]
    is_picture = condition.dtype == "uint8" and len(size) == 2 and channels in CHANNELS
    expected = "a .npy file, a picture or numbers" if is_picture else "a .npy file or numbers"
    if not path.is_file():  # a pipe would keep its reader waiting
        raise ValueError(f"is not a file, expected {expected}; check the path")
    if _is_array(path):
        return _array(path)
    if not is_picture:
        raise ValueError(f"is no array of NumPy, expected {expected}")
    from .photo import read_photo  # only here, so that other conditions need not wait for it

    return read_photo(path, (size[0], size[1], channels), bundle.levels, bundle.fit)


def _is_array(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_NUMPY)) == _NUMPY


def _array(path: Path) -> np.ndarray:
    """The array in a .npy file; mapped, so that a wrong shape is refused before it fills memory."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # as varied as the damage
        raise ValueError(f"cannot be read ({error}), expected an array of numbers") from error


def _listed(condition: Condition, text: str) -> np.ndarray:
    """Numbers with commas between them, as an array of the condition's shape."""
    count = math.prod(condition.shape)
    parts = text.split(",")
    kind, expected = (float, "numbers") if condition.dtype == "float32" else (int, "whole numbers")
    try:
        numbers = [kind(part) for part in parts]
    except ValueError as error:
        raise ValueError(f"expected {expected} with commas between them, or a file") from error
    if len(numbers) != count:
        problem = f"has {len(numbers)} numbers, expected {count} of the shape"
        raise ValueError(f"{problem} {list(condition.shape)}; write several images' to a .npy file")
    if condition.dtype == "uint8" and 0 <= min(numbers) <= max(numbers) <= 255:
        return np.array(numbers, np.uint8).reshape(condition.shape)
    return np.array(numbers).reshape(condition.shape)
