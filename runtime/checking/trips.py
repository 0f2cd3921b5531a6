"""How often a Loop may run: the numbers that the input `steps` or constants bound."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from .facts import Fact
from .limits import MAX_EXTRA_STEPS, MAX_UPSCALING_STEPS


class Bound(NamedTuple):
    """The most that a number can be: the input `steps`, if it `has_steps`, and so many `more`."""

    has_steps: bool
    more: int

    @property
    def is_small(self) -> bool:
        """Whether a Loop might make so many trips."""
        return 0 <= self.more <= (MAX_EXTRA_STEPS if self.has_steps else MAX_UPSCALING_STEPS)


class Trips:
    """The small bounds of numbers, by name, as the nodes of one graph come in order."""

    def __init__(self, inputs: Mapping[str, Fact]) -> None:
        self._bounds = dict.fromkeys(inputs.keys() & {"steps"}, Bound(True, 0))
        # The input `start`, which is never negative, by all its names.
        self._starts = inputs.keys() & {"start"}

    def copy(self) -> Self:
        """The same for the body of a Loop, whose names may be other tensors' outside of it."""
        other = type(self)({})
        other._bounds, other._starts = self._bounds.copy(), self._starts.copy()
        return other

    def bound(self, name: str, fact: Fact) -> Bound | None:
        """The bound of a number, None if none is known or it is not small."""
        return self._bounds.get(name) or _constant_bound(fact)

    def note(
        self, kind: str, inputs: Sequence[str], output: str, facts: Mapping[str, Fact]
    ) -> None:
        """Take note of what a node makes of such numbers."""
        if kind == "Reshape" and inputs[0] in self._starts:
            self._starts.add(output)
        taken = {"Reshape": inputs[:1], "Where": inputs[1:], "Add": inputs}.get(kind, ())
        if kind == "Sub" and inputs[1] in self._starts:
            taken = inputs[:1]
        known = [bound for name in taken if (bound := self.bound(name, facts[name]))]
        if not taken or len(known) < len(taken):
            return
        steps, more = zip(*known, strict=True)
        bound = Bound(any(steps), sum(more) if kind == "Add" else max(more))
        # Twice the steps are more than `steps` and a number.
        if bound.is_small and not (kind == "Add" and sum(steps) > 1):
            self._bounds[output] = bound


def _constant_bound(fact: Fact) -> Bound | None:
    """The number of a small constant, or None."""
    if not fact.constant or fact.shape != () or fact.values is None:
        return None
    # A number that does not fit its type is not known.
    number = fact.values.item()
    bound = Bound(False, number) if type(number) is int else None
    return bound if bound and bound.is_small else None
