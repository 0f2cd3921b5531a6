"""Whether an ONNX file is safe to load: its encoding, constants, operators, shapes and cost.

`check` is the door to this room. What it needs is imported when it is called, since most of the
time that a program takes to begin is imports.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .facts import Fact


class GraphError(ValueError):
    """What is wrong with a graph, in words that go on from the name of its file.

    `node` is the name of the node that it is about, if it is about one.
    """

    node: str | None = None


class Port(NamedTuple):
    """An input or output; a size is a number, the name of an open size, or None for neither."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "Port":
        """From an object like those in the manifest; KeyError or TypeError for another."""
        return cls(str(entry["name"]), str(entry["dtype"]), tuple(entry["shape"]))

    def __str__(self) -> str:
        sizes = ("?" if size is None else str(size) for size in self.shape)
        text = f"{self.name} {self.dtype}[{', '.join(sizes)}]"
        return text if text.isprintable() else ascii(text)[1:-1]


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
            pairs = zip(expected, shape, strict=False)
            fits = all(size == length for size, length in pairs if isinstance(size, int))
            if len(shape) != len(expected) or not fits:
                return f"{port.name} of the shape {list(shape)}, expected {expected}"
        return None


class Checked(NamedTuple):
    """A graph that may be loaded.

    `metadata` are the model's own texts by name, and `tensors` is what is known of each tensor
    outside of the Loop's body.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, "Fact"]


def check(
    content: bytes, signature: Signature, image_numbers: int = 0, cascade: bool = False
) -> Checked:
    """Check the bytes of an ONNX file; GraphError unless an exporter could have written them.

    `signature` lists the inputs and outputs that the graph must have. Memory and work may grow with
    the largest of them, or with the `image_numbers` of an image that the bundle draws elsewhere.
    In a `cascade`, a second Loop may follow or precede the one that `steps` ends.
    """
    from .graph import check_graph

    return check_graph(content, signature, image_numbers, cascade)


def taken_operators() -> frozenset[str]:
    """The operators that `check` takes, except Loop, which must be the sampler's own."""
    from .operators import RULES

    return frozenset((*RULES, "Constant"))
