"""Refuses graphs that make much of little: a few bytes that ask for any amount of memory or time.

The shape of every tensor is followed, for one image. So memory is known, at every node the tensors
that are still to be read; and work, in multiply-adds of one step. Both may grow with the number of
images, but not faster.
"""

from collections.abc import Iterable, Sequence

from . import limits
from .facts import Call, Fact
from .sizes import count, degree, product
from .windows import multiply_adds


class Cost:
    """What the nodes cost so far, as they come in order."""

    def __init__(self, *, image_numbers: int, file_bytes: int) -> None:
        self._max_live = limits.MAX_LIVE_BYTES + limits.LIVE_BYTES_PER_NUMBER * image_numbers
        self._max_work = limits.MAX_WORK + limits.WORK_PER_NUMBER * image_numbers
        self._max_constant = limits.MAX_CONSTANT_BYTES + 4 * file_bytes
        self._live = self._work = self._constant = 0

    def add(self, call: Call, facts: Sequence[Fact]) -> list[int]:
        """Add a node, of whose outputs these are the facts; GraphError where it is too much.

        Returns the bytes of each output, and 0 for what follows from constants alone.
        """
        live, counts = [], [product(fact.shape) for fact in facts]
        for fact, elements in zip(facts, counts, strict=True):
            if degree(elements) > 1:
                raise call.unfit("whose result grows faster than the number of images")
            size = count(elements) * fact.dtype.itemsize
            self._constant += size if fact.constant else 0
            live.append(0 if fact.constant else size)
        self._live += sum(live)
        self._work += multiply_adds(call, count(counts[0]))
        for cost, most, what in (
            (self._constant, self._max_constant, "bytes of constants"),
            (self._live, self._max_live, "bytes of tensors for one image"),
            (self._work, self._max_work, "multiply-adds a step and image"),
        ):
            if cost > most:
                raise call.unfit(
                    f"with which it comes to {cost:.3g} {what}, expected at most {most:.3g}"
                )
        return live

    def release(self, sizes: Iterable[int]) -> None:
        """Tensors of so many bytes are read by nothing any more."""
        self._live -= sum(sizes)
