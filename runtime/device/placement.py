"""Finds the nodes that should run on a GPU and that onnxruntime put on the CPU.

onnxruntime puts a node on the CPU for one of two reasons. Either it has no CUDA kernel for the
node: then tensors are copied there and back, in a Loop's body at every step. Or all that the node
reads is in the CPU's memory already: shapes, counters, and values computed from the noise.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..errors import DeviceError
from .device import CPU_PROVIDER

# The exporter's scope for the random numbers, whose bitwise operators have no CUDA kernels.
NOISE_SCOPE = "threefry"
# The exporter's scope for the network.
NETWORK_SCOPE = "network"

# Control flow and shapes: onnxruntime's CUDA kernels leave their results on the CPU.
_HOST = frozenset({"Constant", "ConstantOfShape", "If", "Loop", "Range", "Shape", "Size"})

# Operators that compute shapes and counters, or may follow the noise before it is copied. All have
# CUDA kernels for every float that a network computes with. So such a node is on the CPU only
# because its inputs are there: because of a node that is reported itself, or that is allowed.
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
        _, _, inside = f"/{self.node}".partition(f"/{NETWORK_SCOPE}/")
        layer, _, _ = inside.rpartition("/")
        where = f" of layer {layer}" if layer else ""
        return f"{self.node or 'a node without a name'} ({self.operator}{where})"


def placements(session: Any) -> Iterator[Placement]:
    """Yield where an onnxruntime session runs each node, the nodes of Loop bodies included.

    The session must have been created with "session.record_ep_graph_assignment_info". Raises
    DeviceError if onnxruntime is too old for that.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        import onnxruntime

        raise DeviceError(
            f"onnxruntime {onnxruntime.__version__} does not say what it runs on the GPU; install "
            "onnxruntime-gpu 1.24 or newer"
        )
    for part in session.get_provider_graph_assignment_info():
        for node in part.get_nodes():
            yield Placement(node.name, node.op_type, part.ep_name)


def misplaced(placements: Iterable[Placement]) -> list[Placement]:
    """Return the nodes that run on the CPU, except noise, shapes and counters."""
    return [
        placement
        for placement in placements
        if placement.provider == CPU_PROVIDER
        and placement.operator not in _HOST | _FOLLOWING
        and NOISE_SCOPE not in placement.node.split("/")
    ]


def described(nodes: Sequence[Placement], file: object) -> str:
    """Say in one line which nodes of a graph's file run on the CPU."""
    shown = ", ".join(map(str, nodes[:3]))
    more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
    return f"onnxruntime would run {shown}{more} of {file} on the CPU"
