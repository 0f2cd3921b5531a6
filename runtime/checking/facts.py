"""What is known of a tensor before the graph is run, and of the node that makes it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import GraphError
from .sizes import Shape, is_size, product, require

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
    shape: Shape
    values: np.ndarray | None = None
    constant: bool = False
    positive: bool = False

    def __str__(self) -> str:
        return f"{self.dtype.name}{list(self.shape)}"


def constant_fact(array: np.ndarray) -> Fact:
    """What is known of a constant."""
    values = array.astype(object) if array.size <= FEW else None
    return Fact(array.dtype, array.shape, values, constant=True)


class Call(NamedTuple):
    """A node: its operator, what is known of its inputs (None for one left out), its attributes.

    Attributes are numbers, lists, bytes and arrays. `outputs` is how many outputs the node has.
    """

    kind: str
    inputs: Sequence[Fact | None]
    attributes: Mapping[str, Any]
    outputs: int

    def input(self, position: int = 0) -> Fact:
        """An input that must be there."""
        fact = self.optional(position)
        if fact is None:
            raise self.unfit(f"without its input {position}")
        return fact

    def optional(self, position: int) -> Fact | None:
        """An input that may be left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def whole(self, name: str, default: int, least: int = -(2**63), most: int = 2**63) -> int:
        """An attribute that is a whole number from `least` to `most`."""
        value = self.attributes.get(name, default)
        require(type(value) is int and least <= value <= most)
        return value

    def wholes(self, name: str, default: Sequence[int], least: int, most: int) -> list[int]:
        """An attribute that is a list of as many whole numbers as `default`."""
        values = list(self.attributes.get(name) or default)
        require(len(values) == len(default))
        require(all(type(value) is int and least <= value <= most for value in values))
        return values

    def known(self, position: int) -> list[Any]:
        """The numbers of an input of one dimension or none, all of which must be known."""
        numbers = self.followed(position)
        if any(number is None for number in numbers):
            raise self.unfit(f"of which input {position} is not computed of shapes and constants")
        return numbers

    def sizes(self, position: int) -> list[Any]:
        """The sizes that an input lists, all of them known and none below zero."""
        sizes = self.known(position)
        require(all(map(is_size, sizes)))
        return sizes

    def followed(self, position: int) -> list[Any]:
        """The numbers of an input, None for each that only a run will show."""
        fact = self.input(position)
        elements = product(fact.shape)
        if len(fact.shape) > 1 or not isinstance(elements, int) or elements > FEW:
            raise self.unfit(f"of which input {position} has the shape {list(fact.shape)}")
        return [None] * elements if fact.values is None else list(fact.values.flat)

    def __str__(self) -> str:
        inputs = ", ".join("nothing" if fact is None else str(fact) for fact in self.inputs)
        short = {name: " ".join(repr(x).split())[:40] for name, x in self.attributes.items()}
        attributes = "".join(f", {name}={text}" for name, text in short.items())
        return f"{self.kind}({inputs:.160}{attributes:.160})"

    def unfit(self, problem: str) -> GraphError:
        """The error to raise for a node that could not be run."""
        return GraphError(f"has a node {self.kind} {problem}")
