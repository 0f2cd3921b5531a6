"""Refuses graphs that make much of little: a few bytes that ask for any amount of memory or time.

The shape of every tensor is followed, for one image. So memory is known, at every node the tensors
that are still to be read; and work, in multiply-adds of one step. Both may grow with the number of
images, but not faster.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from .facts import Call, Fact
from .limits import (
    LIVE_BYTES_PER_NUMBER,
    MAX_CONSTANT_BYTES,
    MAX_LIVE_BYTES,
    MAX_WORK,
    WORK_PER_NUMBER,
)
from .sizes import degree
from .tensors import GraphError
from .windows import multiply_adds


class Growth:
    """What the nodes have cost so far, as they come in order."""

    def __init__(self, *, image_numbers: int, file_bytes: int) -> None:
        self._max_live = MAX_LIVE_BYTES + LIVE_BYTES_PER_NUMBER * image_numbers
        self._max_work = MAX_WORK + WORK_PER_NUMBER * image_numbers
        self._max_constant = MAX_CONSTANT_BYTES + 4 * file_bytes
        self._live = self._work = self._constant = 0

    def made(self, call: Call, facts: Sequence[Fact]) -> list[int]:
        """Take note of what a node makes; GraphError where it is too much.

        Returns the bytes of each output, those of what is made of constants alone as 0.
        """
        live, counts = [], [fact.elements for fact in facts]
        for fact, count in zip(facts, counts, strict=True):
            if degree(count) > 1:
                raise call.unfit("whose result grows faster than the number of images")
            size = int(count) * fact.dtype.itemsize
            self._constant += size if fact.constant else 0
            live.append(0 if fact.constant else size)
        self._live += sum(live)
        self._work += multiply_adds(call, int(counts[0]))
        if self._constant > self._max_constant:
            raise self._excess(call, self._constant, self._max_constant, "bytes of constants")
        if self._live > self._max_live:
            raise self._excess(call, self._live, self._max_live, "bytes of tensors for one image")
        if self._work > self._max_work:
            raise self._excess(call, self._work, self._max_work, "multiply-adds a step and image")
        return live

    def dropped(self, sizes: Iterable[int]) -> None:
        """Tensors of so many bytes are read by nothing any more."""
        self._live -= sum(sizes)

    @staticmethod
    def _excess(call: Call, found: int, most: int, what: str) -> GraphError:
        return call.unfit(f"with which it comes to {found:.3g} {what}, expected at most {most:.3g}")


class Readers:
    """How often the tensors of a graph are still to be read, by name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._left = Counter(names)

    def unread(self, made: Iterable[str], read: Iterable[str]) -> list[str]:
        """Take note of what a node read; those of its inputs and outputs that nothing reads now."""
        left = self._left
        unread = [name for name in made if not left[name]]
        for name in read:
            left[name] -= 1
            if not left[name]:
                unread.append(name)
        return unread
