"""Whether an ONNX file is safe to load: its encoding, constants, operators, shapes and cost.

`check` is the door to this room. What it needs is imported when it is called, since most of the
time that a program takes to begin is imports.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from .signature import Port as Port
from .signature import Signature as Signature

if TYPE_CHECKING:
    from .facts import Fact


class GraphError(ValueError):
    """What is wrong with a graph, in words that go on from the name of its file."""


class Checked(NamedTuple):
    """A graph that may be loaded.

    `metadata` are the model's own texts by name, and `tensors` is what is known of each tensor
    outside of the Loop's body.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, "Fact"]


def check(content: bytes, signature: Signature) -> Checked:
    """Check the bytes of an ONNX file; GraphError unless an exporter could have written them.

    `signature` lists the inputs and outputs that the graph must have.
    """
    from .graph import check_graph

    return check_graph(content, signature)


def taken_operators() -> frozenset[str]:
    """The operators that `check` takes, except Loop, which must be the sampler's own."""
    from .operators import RULES

    return frozenset((*RULES, "Constant"))
