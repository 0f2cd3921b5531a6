"""Conditions: what a network is given beside noisy images, their noise level and labels."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..trainer.errors import InputError, check_choice
from .checks import check_list, check_type, is_whole

CONDITION_DTYPES = ("uint8", "float32", "int64")
MOST_CONDITIONS = 16
# What a manifest has room for.
MOST_NULL_NUMBERS = 16_384
_MOST_SIDE, _MOST_AXES = 2**20, 3

_NAME = re.compile("[a-z][a-z0-9_]{0,31}")
# Names of other tensors of the graphs, and how others begin.
_TAKEN = {
    *("seeds", "steps", "step", "every", "trips", "labels", "guidance"),
    *("samples", "sample", "latents", "original"),
    *("images", "image", "mask", "noise", "noisy", "time", "network_time"),
    *(
        "condition",
        "photographs",
        "previous_image",
        "earlier_image",
        "result",
        "prediction",
        "frames",
    ),
    *("inpainted", "variance_fraction", "drawn", "start"),
}
_PREFIXES = ("first_", "next_", "network_", "all_")

Numbers = float | Sequence[Any] | np.ndarray


@dataclass(frozen=True)
class Condition:
    """A named input of a network, such as a small picture, an embedding of a text, or an age.

    Programs that draw give it as `dtype`: float32, whole numbers as int64, or the pixels of a
    picture as uint8 [height, width, channels]. By default whole numbers go to an input of whole
    numbers, and float32 to any other. `shape` is that of one picture's, if the network's own has
    sizes that are free. Pixels p are given to the network as (p/255 − mean)/std; by default
    `pixel_mean` and `pixel_std` are those of the images, if there are as many channels.

    Where guidance leaves the conditions out (arXiv 2207.12598), the network sees `null`: a number,
    or an array of the condition's shape, in the units of the program that draws. With None it sees
    the condition there too. A program may leave a condition out that has a `default`, a number; but
    the graphs themselves always take it. `description` is a sentence for people who write such
    programs. `minimum` and `maximum` are the least and the greatest whole number, if there is a
    greatest.

    Raises InputError for what no condition can be.
    """

    description: str = ""
    dtype: str | None = None
    shape: Sequence[int] | None = None
    null: Numbers | None = 0.0
    default: float | None = None
    pixel_mean: float | Sequence[float] | None = None
    pixel_std: float | Sequence[float] | None = None
    minimum: int = 0
    maximum: int | None = None

    def __post_init__(self) -> None:
        if self.dtype is not None:
            check_choice("dtype", self.dtype, CONDITION_DTYPES)
        text = self.description
        if not isinstance(text, str) or len(text) > 1000 or not text.isprintable():
            raise InputError(f"description={text!r}: expected at most 1,000 characters on one line")
        check_type("default", self.default, float | None)
        self._check_shape()
        self._check_range()
        for name in ("pixel_mean", "pixel_std"):
            if getattr(self, name) is not None and self.dtype != "uint8":
                raise InputError(f"{name}: is for pixels, of dtype uint8; leave it out")

    def _check_shape(self) -> None:
        if self.shape is None:
            return
        check_list("shape", self.shape, "sizes")
        fits = len(self.shape) <= _MOST_AXES
        if not fits or not all(is_whole(size, 1, _MOST_SIDE) for size in self.shape):
            raise InputError(
                f"shape={list(self.shape)}: expected at most {_MOST_AXES} sizes, without that of "
                "the batch"
            )
        object.__setattr__(self, "shape", tuple(self.shape))

    def _check_range(self) -> None:
        ends = self.minimum, self.maximum
        if ends == (0, None):
            return
        whole = all(is_whole(end, -(2**53), 2**53) for end in ends)
        if self.dtype in ("uint8", "float32") or not whole or self.minimum > (self.maximum or 0):
            raise InputError(
                f"minimum={self.minimum}, maximum={self.maximum}: expected the least and the "
                "greatest number of a condition of whole numbers"
            )


def checked_conditions(conditions: Any) -> dict[str, Condition]:
    """The conditions by name; each a `Condition`, a mapping of its fields, or its description.

    Raises InputError, which names the condition, for anything else, and for names that are taken.
    """
    if not isinstance(conditions, Mapping):
        raise InputError(
            f"conditions={conditions!r}: expected a mapping from the names of the network's "
            'further inputs, such as {"text": Condition()}'
        )
    if len(conditions) > MOST_CONDITIONS:
        raise InputError(f"conditions: got {len(conditions)}, expected at most {MOST_CONDITIONS}")
    return {name: _checked(name, given) for name, given in conditions.items()}


def _checked(name: Any, given: Any) -> Condition:
    fits = isinstance(name, str) and _NAME.fullmatch(name)
    if not fits or name in _TAKEN or name.startswith(_PREFIXES):
        why = "is the name of another tensor" if fits else "is no name"
        raise InputError(
            f"conditions: {name!r} {why}; expected at most 32 lower-case letters, digits and _; "
            "name the network's input so"
        )
    if isinstance(given, Condition):
        return given
    try:
        fields: Any = {"description": given} if isinstance(given, str) else dict(given)
        return Condition(**fields)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise InputError(f"conditions: {name}: {error}") from error
        raise InputError(
            f"conditions: {name}={given!r}: expected a Condition, or its description"
        ) from error


def read_conditions(file: Path) -> dict[str, Condition]:
    """The conditions in a JSON file, by name; InputError for a file that cannot be read."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"--conditions={file}: cannot be read ({error}); expected a JSON object of the names "
            'of inputs, such as {"text": {"description": "An embedding of a text."}}'
        ) from error
    return checked_conditions(content)
