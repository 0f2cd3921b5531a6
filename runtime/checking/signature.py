"""What a graph takes and gives."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Port(NamedTuple):
    """An input or output; a size is a number, or the name of one that is open, None for neither."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "Port":
        """From an object like those in the manifest; KeyError or TypeError for another."""
        # JSON does not tell 3.0 from 3.
        shape = (int(size) if isinstance(size, float) else size for size in entry["shape"])
        return cls(str(entry["name"]), str(entry["dtype"]), tuple(shape))

    def __str__(self) -> str:
        sizes = ("?" if size is None else str(size) for size in self.shape)
        return f"{self.name} {self.dtype}[{', '.join(sizes)}]"


class Signature(NamedTuple):
    """Inputs and outputs in order; as a text "seeds int64[N] -> images uint8[N, 64, 64, 3]"."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @classmethod
    def of(cls, inputs: Iterable[Any], outputs: Iterable[Any]) -> "Signature":
        """From lists like those in the manifest."""
        return cls(tuple(map(Port.of, inputs)), tuple(map(Port.of, outputs)))

    def __str__(self) -> str:
        return " -> ".join(", ".join(map(str, side)) for side in (self.inputs, self.outputs))

    def misfit(
        self, given: Mapping[str, tuple[int, ...]], made: Sequence[tuple[int, ...]]
    ) -> str | None:
        """Say which of the outputs is of another shape than it says, or None.

        `given` are the shapes of the inputs by name, which settle the open sizes; a size that no
        input has stays open.
        """
        sizes = {
            size: length
            for port in self.inputs
            for size, length in zip(port.shape, given[port.name], strict=True)
        }
        for port, found in zip(self.outputs, made, strict=True):
            expected = [sizes.get(size, size) for size in port.shape]
            fits = len(found) == len(expected) and all(
                not isinstance(size, int) or size == length
                for size, length in zip(expected, found, strict=True)
            )
            if not fits:
                return f"{port.name} of the shape {list(found)}, expected {expected}"
        return None
