"""What is known of a tensor before the graph is run, and of the node that makes it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .onnx_reader import Message
from .sizes import degree, product
from .tensors import GraphError

# Sizes are computed with tensors of no more numbers than this.
FEW = 64


class Fact(NamedTuple):
    """A tensor of `dtype` whose sizes are at most `shape`.

    `values` are its numbers where sizes may be computed with them: an array of objects of the shape
    `shape`, None for one that is only known when the graph is run. `constant` is what follows from
    constants alone, and so is computed as soon as the graph is loaded. `positive` are numbers that
    are known to be 1 or more.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    values: np.ndarray | None = None
    constant: bool = False
    positive: bool = False

    @property
    def elements(self) -> int:
        """The number of elements, of one image; `degree` of it says how it grows."""
        return product(self.shape)


def constant_fact(array: np.ndarray) -> Fact:
    """What is known of a constant."""
    values = array.astype(object) if array.size <= FEW else None
    return Fact(array.dtype, array.shape, values, constant=True)


class Call(NamedTuple):
    """A node: its operator, what is known of its inputs (None for one left out), its attributes."""

    kind: str
    inputs: Sequence[Fact | None]
    attributes: Mapping[str, Message]
    outputs: int

    def input(self, position: int) -> Fact:
        """An input that must be there."""
        found = self.optional(position)
        if found is None:
            raise self.unfit(f"without its input {position}")
        return found

    def optional(self, position: int) -> Fact | None:
        """An input that may be left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def whole(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        return self.attributes[name].get("i", 0) if name in self.attributes else default

    def wholes(self, name: str) -> list[int] | None:
        """An attribute that is a list of whole numbers, None where it is left out."""
        return list(self.attributes[name]["ints"]) if name in self.attributes else None

    def text(self, name: str, default: str) -> str:
        """An attribute that is a text."""
        if name not in self.attributes:
            return default
        return bytes(self.attributes[name].get("s", b"")).decode("ascii", "replace")

    def known(self, position: int) -> list[Any]:
        """The numbers of an input of one dimension or none, all of which must be known."""
        found = self.followed(position)
        if any(number is None for number in found):
            raise self.unfit(f"of which input {position} is not computed of shapes and constants")
        return found

    def followed(self, position: int) -> list[Any]:
        """The numbers of an input, None for each that only a run will show."""
        fact = self.input(position)
        if len(fact.shape) > 1 or degree(fact.elements) or fact.elements > FEW:
            raise self.unfit(f"of which input {position} has the shape {list(fact.shape)}")
        return [None] * fact.elements if fact.values is None else list(fact.values.flat)

    def axis(self, rank: int, value: int, *, extra: int = 0) -> int:
        """An axis counted from the front; there are `rank`, and `extra` places behind them."""
        if not -(rank + extra) <= value < rank + extra:
            raise self.unfit(f"of axis {value}, expected one of {rank + extra}")
        return value % (rank + extra) if rank + extra else 0

    def unfit(self, what: str) -> GraphError:
        """The error to raise for a node that could not be run."""
        return GraphError(f"has a node {self.kind} {what}")
