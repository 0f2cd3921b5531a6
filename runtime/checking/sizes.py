"""Sizes of tensors before a graph is run, some of which grow with the number of images.

A size is an int, or `Rows` if it depends on the number of images or only a bound on it is known.
What is not defined here raises a ValueError or a TypeError, so nothing is followed by mistake.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Rows:
    """A size of N images: at most `most` times N to the power of `degree`, and `most` for one.

    `exact` tells a size from an upper bound.
    """

    most: int
    degree: int = 1
    exact: bool = True

    def __bool__(self) -> bool:
        raise TypeError("a size of N images is neither true nor false")

    def __mul__(self, other: "Size") -> "Size":
        return product((self, other)) if is_size(self) and is_size(other) else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> "Rows":
        return Rows(-self.most, self.degree, self.exact)

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


def is_exact(size: Any) -> bool:
    """Whether it is more than an upper bound."""
    return size.exact if isinstance(size, Rows) else True


def is_size(number: Any) -> bool:
    """Whether a number is a size: a whole one that is not negative."""
    return (isinstance(number, Rows) or type(number) is int) and count(number) >= 0


def bound(size: Size) -> Rows:
    """The same size as an upper bound."""
    return Rows(count(size), degree(size), exact=False)


def product(sizes: Iterable[Size]) -> Size:
    """How many elements a shape has."""
    most, power, exact = 1, 0, True
    for size in sizes:
        if isinstance(size, Rows):
            most *= size.most
            power += size.degree
            exact &= size.exact
        else:
            most *= size
    return _size(most, power, exact)


def total(sizes: Iterable[Size]) -> Size:
    """The sum of sizes, exact only if all grow alike."""
    kept = [size for size in sizes if isinstance(size, Rows) or size]
    degrees = {degree(size) for size in kept}
    exact = len(degrees) < 2 and all(map(is_exact, kept))
    return _size(sum(map(count, kept)), max(degrees, default=0), exact)


def broadcast_size(a: Size, b: Size) -> Size:
    """The size along an axis of two tensors that are broadcast; ValueError unless they fit."""
    if a is b or (type(b) is int and b == 1):
        return a
    if a == b or (type(a) is int and a == 1):
        return b
    require(isinstance(a, Rows) or isinstance(b, Rows))
    return Rows(max(count(a), count(b)), max(degree(a), degree(b)), exact=False)


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
    """How often a part goes into a whole, rounded up; exact only if it fits."""
    power = degree(whole) - degree(part)
    require(power >= 0 and is_exact(part))
    quotient, rest = divmod(count(whole), count(part))
    return _size(quotient + (rest > 0), power, is_exact(whole) and not rest)


def _size(most: int, power: int, exact: bool) -> Size:
    return most if not power and exact else Rows(most, power, exact)
