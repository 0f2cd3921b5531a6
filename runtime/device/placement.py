"""Finds the nodes of a graph that a GPU was meant for and onnxruntime put on the CPU.

onnxruntime puts a node on the CPU for one of two reasons. It has no CUDA kernel for it: then its
tensors are copied there and back, in a Loop's body in every step. Or all that the node reads lies
in the CPU's memory already, and is followed there: shapes, counters, and what follows the noise.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import DeviceError
from .device import CPU_PROVIDER

# The exporter puts the random numbers in this scope. They need bitwise operators, which have no
# CUDA kernels.
NOISE_SCOPE = "threefry"
# ... and the network in this one.
NETWORK_SCOPE = "network"

# Control flow and shapes: onnxruntime's CUDA kernels for them leave their result to the CPU.
_HOST = frozenset({"Constant", "ConstantOfShape", "If", "Loop", "Range", "Shape", "Size"})

# What shapes and counters are computed with, and what may follow the noise before it is copied.
# All of them have CUDA kernels for every float that a network computes with, so such a node is on
# the CPU only because it follows something else: a cause that is named itself, or one of those that
# are allowed.
_FOLLOWING = frozenset(
    {
        *("Add", "And", "Cast", "Concat", "Cos", "Div", "Equal", "Expand", "Gather", "Greater"),
        *("GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg"),
        *("Not", "Or", "ReduceProd", "Reshape", "Sin", "Slice", "SpaceToDepth", "Split", "Sqrt"),
        *("Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze", "Where"),
    }
)


class Placement(NamedTuple):
    """One node of the graph that onnxruntime runs, and the provider it runs on."""

    node: str
    operator: str
    provider: str

    def __str__(self) -> str:
        layer = _layer(self.node)
        where = f" of layer {layer}" if layer else ""
        return f"{self.node or 'a node without a name'} ({self.operator}{where})"


def misplaced(placements: Iterable[Placement]) -> list[Placement]:
    """Return the nodes that run on the CPU although neither noise nor shapes nor counters."""
    return [
        placement
        for placement in placements
        if placement.provider == CPU_PROVIDER
        and placement.operator not in _HOST | _FOLLOWING
        and NOISE_SCOPE not in placement.node.split("/")
    ]


def require_none(found: Sequence[Placement], file: object) -> None:
    """DeviceError that names the nodes, if there are any."""
    if found:
        raise DeviceError(
            f"{described(found, file)}, with copies there and back; replace the layer, or use "
            "device='auto' to accept that"
        )


def described(found: Sequence[Placement], file: object) -> str:
    """Say in one line which nodes of a graph's file run on the CPU."""
    shown = ", ".join(map(str, found[:3]))
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"onnxruntime would run {shown}{more} of {file} on the CPU"


def _layer(node: str) -> str:
    """The scope inside the network, without the operation itself."""
    parts = node.split("/")
    if NETWORK_SCOPE not in parts:
        return ""
    return "/".join(parts[parts.index(NETWORK_SCOPE) + 1 : -1])
