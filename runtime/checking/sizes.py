"""Sizes before a graph is run: whole numbers, some of which grow with the number of images."""

import math
from collections.abc import Iterable
from typing import Any


class Rows(int):
    """A size of N images: at most this times N to the power of `degree`, and this for one image.

    `exact` tells a size from an upper bound. A plain int is a size that does not depend on N.
    """

    degree: int
    exact: bool

    def __new__(cls, value: int, degree: int = 1, exact: bool = True) -> "Rows":
        """A size; by default that of N images themselves, times `value`."""
        size = super().__new__(cls, value)
        size.degree, size.exact = degree, exact
        return size


def degree(size: Any) -> int:
    """The power of N that a size grows with."""
    return size.degree if isinstance(size, Rows) else 0


def is_exact(size: Any) -> bool:
    """Whether it is more than an upper bound."""
    return size.exact if isinstance(size, Rows) else True


def bound(size: int) -> int:
    """The same size as an upper bound."""
    return Rows(size, degree(size), exact=False)


def product(sizes: Iterable[int]) -> int:
    """How many elements a shape has."""
    value, power, exact = 1, 0, True
    for size in sizes:
        value *= int(size)
        if type(size) is Rows:
            power += size.degree
            exact &= size.exact
    return _size(value, power, exact)


def total(sizes: Iterable[int]) -> int:
    """How long sizes are one after the other."""
    kept = list(sizes)
    return _size(sum(map(int, kept)), max(map(degree, kept), default=0), all(map(is_exact, kept)))


def larger(a: int, b: int) -> int:
    """The larger one for every N, as the sizes of two tensors that are broadcast."""
    if type(a) is int and type(b) is int:
        return b if a == 1 else a if b == 1 else max(a, b)
    if a == 1 and not degree(a) and is_exact(a):
        return b
    if b == 1 and not degree(b) and is_exact(b):
        return a
    return _size(max(int(a), int(b)), max(degree(a), degree(b)), is_exact(a) and is_exact(b))


def smaller(a: int, b: int) -> int:
    """A bound on the smaller one: either is."""
    return min((a, b), key=lambda size: (int(size), degree(size)))


def divided(whole: int, part: int) -> int | None:
    """How often an exact part goes into a whole, None if N or a bound is in the way."""
    power = degree(whole) - degree(part)
    if int(part) <= 0 or power < 0 or not is_exact(part):
        return None
    return _size(math.ceil(int(whole) / int(part)), power, is_exact(whole))


def _size(value: int, power: int, exact: bool) -> int:
    return value if not power and exact else Rows(value, power, exact)
