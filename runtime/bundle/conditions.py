"""What a network is given besides seeds, steps, labels and guidance, as the manifest lists it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..checking import Port
from .manifest import received

# Of an array, and of all conditions of one image together: as many as the largest image has.
MAX_NUMBERS = 2**24

# The small picture that a network or the second stage of a cascade enlarges.
SMALL = "low_resolution"

# Names of other inputs and outputs of graphs.
_TAKEN = (
    *("seeds", "steps", "step", "start", "every", "labels", "guidance", "images", "image", "mask"),
    *("samples", "sample", "latents"),
    *("noise", "noisy", "time", "network_time", "previous_image", "earlier_image"),
    *("frames", "inpainted", "edited", "variance_fraction"),
)
# The kinds of NumPy's dtypes that a condition may be given as, if it is not given as its own dtype.
_KINDS = {"uint8": "", "float32": "iuf", "int64": "iu"}
_LIMITS = {"uint8": (0, 255), "float32": (-math.inf, math.inf), "int64": (-(2**63), 2**63 - 1)}


class Condition(NamedTuple):
    """A further input of a network: an image, a vector, a sequence or a number.

    `dtype` is "uint8", "float32" or "int64", and `shape` that of one image's, () for a number. Its
    numbers go from `minimum` to `maximum`. `description` says in a sentence what it is. Where
    guidance leaves conditions out, the network gets `null`, a number or nested lists of that shape;
    with None it gets the condition there too. `default` is for callers who give none.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    minimum: float
    maximum: float
    description: str = ""
    null: Any = None
    default: float | None = None

    def __str__(self) -> str:
        """The name, what is expected, and the description."""
        limits = zip(("from", "to"), (self.minimum, self.maximum), _LIMITS[self.dtype], strict=True)
        limited = "".join(f" {word} {number}" for word, number, most in limits if number != most)
        about = f" ({self.description})" if self.description else ""
        return f"{self.name} {self.dtype}{list(self.shape)}{limited}{about}"

    def numbers(self, array: np.ndarray) -> np.ndarray:
        """Return an array in the condition's dtype, whatever its shape.

        Raises ValueError, in words that go on from a name, for numbers of another kind or out of
        range.
        """
        if array.dtype != self.dtype and array.dtype.kind not in _KINDS[self.dtype]:
            raise ValueError(f"has dtype {array.dtype}, expected {self.dtype}")
        if self.dtype == "float32":
            with np.errstate(over="ignore"):  # to infinity
                array = array.astype(np.float32, copy=False)
        low, high = array.min().item(), array.max().item()  # both NaN, if there is one
        finite = math.isfinite(low) and math.isfinite(high)
        if not finite or not self.minimum <= low <= high <= self.maximum:
            whole = f"whole ones from {self.minimum} to {self.maximum}"
            expected = whole if self.dtype == "int64" else "finite ones of float32"
            raise ValueError(f"has numbers from {low} to {high}, expected {expected}")
        # A copy, since its owner may change it before the last image is drawn.
        return array.astype(self.dtype, order="C")

    def port(self, rows: int | str) -> Port:
        """The input of a graph for so many images."""
        return Port(self.name, self.dtype, (rows, *self.shape))

    def example(self) -> np.ndarray:
        """Return one that any graph takes: zeros, or the whole number in range next to 0."""
        number = min(max(0, self.minimum), self.maximum)
        return np.full(self.shape, number, self.dtype)


def listed_conditions(
    entries: Sequence[Mapping[str, Any]], *, cascade: bool = False
) -> tuple[Condition, ...]:
    """The conditions of a manifest that fits the schema; ValueError for what none can be.

    In a `cascade`, the first stage makes what is called `low_resolution`.
    """
    taken = (*_TAKEN, SMALL) if cascade else _TAKEN
    total = sum(math.prod(entry["shape"]) for entry in entries)
    if total > MAX_NUMBERS:
        raise ValueError(f"conditions have {total} numbers in all, expected at most {MAX_NUMBERS}")
    names = [entry["name"] for entry in entries]
    for number, entry in enumerate(entries):
        if entry["name"] in {*names[:number], *taken} or entry["name"].startswith("next_"):
            expected = "one that is not taken, and without next_"
            raise ValueError(f"conditions[{number}].name is {entry['name']}, expected {expected}")
        for problem in _problems(entry):
            raise ValueError(f"conditions[{number}]{problem}")
    return tuple(map(condition_of, entries))


def condition_of(entry: Mapping[str, Any]) -> Condition:
    """The condition of a manifest's entry that has been checked."""
    least, most = _LIMITS[entry["dtype"]]
    names = ("description", "null", "default")
    optional = {name: entry[name] for name in names if name in entry}
    limits = (entry.get("minimum", least), entry.get("maximum", most))
    return Condition(entry["name"], entry["dtype"], tuple(entry["shape"]), *limits, **optional)


def _problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the entry of a condition, beyond the schema and its name."""
    condition = condition_of(entry)
    limited = not {"minimum", "maximum"}.isdisjoint(entry)
    if not condition.description.isprintable():
        text = received(condition.description)
        yield f".description is {text}, expected one line of printable characters"
    if limited and (condition.dtype != "int64" or condition.minimum > condition.maximum):
        limits = " and ".join(received(entry.get(name)) for name in ("minimum", "maximum"))
        yield f" has the limits {limits}, expected rising ones, and for int64 alone"
    expected = f"a number or lists of the shape {list(condition.shape)}, of {condition.dtype}"
    for name in (name for name in ("null", "default") if name in entry):
        if not _holds(condition, entry[name]):
            yield f".{name} is {received(entry[name])}, expected {expected}"
    if not condition.minimum <= entry.get("default", condition.minimum) <= condition.maximum:
        limits = f"from {condition.minimum} to {condition.maximum}"
        yield f".default is {received(entry['default'])}, expected a number {limits}"


def _holds(condition: Condition, numbers: Any) -> bool:
    """Whether a condition's dtype and shape hold a number or nested lists."""
    try:
        array = np.asarray(numbers)
    except ValueError:  # lists of different lengths
        return False
    if array.dtype.kind not in "iuf" or array.shape not in ((), condition.shape):
        return False
    with np.errstate(all="ignore"):
        values = array.astype(condition.dtype)
    if condition.dtype == "float32":
        return bool(np.isfinite(values).all())
    return np.array_equal(values, array)
