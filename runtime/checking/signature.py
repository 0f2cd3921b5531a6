"""The inputs and outputs of a graph."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Port(NamedTuple):
    """An input or output; a size is a number, the name of an open size, or None for neither."""

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
        self, inputs: Mapping[str, tuple[int, ...]], outputs: Sequence[tuple[int, ...]]
    ) -> str | None:
        """Say which output has another shape than the signature says, or None.

        `inputs` are the shapes of the inputs by name, which settle the open sizes; a size that no
        input has stays open. `outputs` are the shapes of the outputs.
        """
        sizes = {
            size: length
            for port in self.inputs
            for size, length in zip(port.shape, inputs[port.name], strict=True)
        }
        for port, shape in zip(self.outputs, outputs, strict=True):
            expected = [sizes.get(size, size) for size in port.shape]
            closed = [
                length if isinstance(size, int) else size
                for size, length in zip(expected, shape, strict=False)
            ]
            if len(shape) != len(expected) or closed != expected:
                return f"{port.name} of the shape {list(shape)}, expected {expected}"
        return None
