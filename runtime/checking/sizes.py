"""Sizes of tensors before a graph is run, some of which grow with the number of images.

A size is an int, or `Rows` if it depends on the number of images or only a bound on it is known.
What is not defined here raises a ValueError or a TypeError, so nothing is followed by mistake.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Rows:
    """A size of N images: from `least` to `most` times N to the power of `degree`.

    Like an int, it is exact if both are the same.
    """

    least: int
    most: int
    degree: int = 1

    def __bool__(self) -> bool:
        raise TypeError("a size of N images is neither true nor false")

    def __mul__(self, other: "Size") -> "Size":
        return product((self, other)) if is_size(self) and is_size(other) else NotImplemented

    __rmul__ = __mul__

    def __rsub__(self, other: int) -> "Size":
        return NotImplemented if self.degree else _size(other - self.most, other - self.least, 0)

    def __neg__(self) -> "Rows":
        return Rows(-self.most, -self.least, self.degree)

    def __repr__(self) -> str:
        factor = "" if self.most == 1 and self.degree else self.most
        return f"{factor}{'N' * (self.degree > 0)}"


Size = int | Rows
Shape = tuple[Size, ...]


def require(fits: bool) -> None:
    """ValueError unless a node fits."""
    if not fits:
        raise ValueError


def count(size: Size) -> int:
    """The size for one image."""
    return size.most if isinstance(size, Rows) else size


def degree(size: Size) -> int:
    """The power of N that a size grows with."""
    return size.degree if isinstance(size, Rows) else 0


def least(size: Size) -> int:
    """The smallest that a size may be for one image."""
    return size.least if isinstance(size, Rows) else size


def is_exact(size: Size) -> bool:
    """Whether the number of images alone decides it."""
    return least(size) == count(size)


def is_size(number: Any) -> bool:
    """Whether a number is a size: a whole one that is not negative."""
    return (isinstance(number, Rows) or type(number) is int) and least(number) >= 0


def bound(size: Size) -> Size:
    """The same size as an upper bound."""
    return _size(0, count(size), degree(size))


def product(sizes: Iterable[Size]) -> Size:
    """How many elements a shape has."""
    fewest, most, power = 1, 1, 0
    for size in sizes:
        if isinstance(size, Rows):
            fewest *= size.least
            most *= size.most
            power += size.degree
        else:
            fewest *= size
            most *= size
    return _size(fewest, most, power)


def total(sizes: Iterable[Size]) -> Size:
    """The sum of sizes, a bound unless all grow alike."""
    summands = [size for size in sizes if isinstance(size, Rows) or size]
    power = max(map(degree, summands), default=0)
    fewest = sum(least(size) for size in summands if degree(size) == power)
    return _size(fewest, sum(map(count, summands)), power)


def smaller(a: Size, b: Size) -> Size:
    """The smaller one of two sizes; a bound unless both grow alike."""
    # Either is a bound on the smaller one.
    fewer = min(a, b, key=lambda size: (count(size), degree(size)))
    fewest = min(least(a), least(b)) if degree(a) == degree(b) else 0
    return _size(fewest, count(fewer), degree(fewer))


def broadcast_size(a: Size, b: Size) -> Size:
    """The size along an axis of two tensors that are broadcast; ValueError unless they fit."""
    if a is b or (type(b) is int and b == 1):
        return a
    if a == b or (type(a) is int and a == 1):
        return b
    require(isinstance(a, Rows) or isinstance(b, Rows))
    return _size(0, max(count(a), count(b)), max(degree(a), degree(b)))


def broadcast(shapes: Iterable[Shape]) -> Shape:
    """The shape of an elementwise result, by the rules of NumPy; ValueError if there is none."""
    common: Shape = ()
    for shape in shapes:
        if shape != common:
            short, long = sorted((common, shape), key=len)
            short = (1,) * (len(long) - len(short)) + short
            common = tuple(map(broadcast_size, short, long))
    return common


def divided(whole: Size, part: Size) -> Size:
    """How often a part, which may not be 0, goes into a whole, rounded up."""
    power = degree(whole) - degree(part)
    require(power >= 0 and least(part) >= 1)
    return _size(least(whole) // count(part), -(-count(whole) // least(part)), power)


def _size(fewest: int, most: int, power: int) -> Size:
    return most if fewest == most and not power else Rows(fewest, most, power)
