"""Which layer of a network it is about when its graph cannot be used."""

import re
from collections.abc import Iterator, Mapping

import onnx

from ...trainer.errors import InputError

_REMEDY = "replace that layer with other operations"


def refused(graph: onnx.GraphProto, node: onnx.NodeProto | None, problem: str) -> InputError:
    """The error that a layer of the network, as far as it is known, has this problem."""
    if node is None:
        return InputError(f"network: {problem}; replace the layer that causes this")
    layer = layer_of(graph, node)
    problem = problem.replace(node.name, layer) if node.name else problem
    return InputError(f"network: its layer {layer} {problem}; {_REMEDY}")


def node_in(graph: onnx.GraphProto, message: str) -> onnx.NodeProto | None:
    """The node whose name is in a message of onnxruntime's."""
    named = [node for node in graph.node if node.name and node.name in message]
    return max(named, key=lambda node: len(node.name), default=None)


def layer_of(graph: onnx.GraphProto, node: onnx.NodeProto) -> str:
    """The layer that a node was converted from.

    tf2onnx gives names of its own to nodes that it adds. Then this is the layer of the nearest node
    after it, or before it.
    """
    after: dict[str, list[onnx.NodeProto]] = {}
    before: dict[str, list[onnx.NodeProto]] = {}
    for other in graph.node:
        before.update({name: [other] for name in other.output})
        for name in other.input:
            after.setdefault(name, []).append(other)
    for neighbours, side in ((after, "output"), (before, "input")):
        for near in _by_distance(node, neighbours, side):
            named = next((name for name in (near.name, *near.output) if "/" in name), None)
            if named:
                return layer_in(named)
    return node.name


def layer_in(name: str) -> str:
    """The layer in a node's name: between the model's name and the operator's.

    Keras opens the scope of a layer twice, and TensorFlow then calls conv's conv_1. Names in files
    from PyTorch begin with a slash, and are as its user gave them.
    """
    scopes = name.split("/")[1:-1]
    if not name.startswith("/"):
        scopes = [re.sub(r"_\d+$", "", scope) for scope in scopes]
    return "/".join(scopes) or name


def _by_distance(
    node: onnx.NodeProto, neighbours: Mapping[str, list[onnx.NodeProto]], side: str
) -> Iterator[onnx.NodeProto]:
    """A node and those after it (by "output") or before it, the nearest first."""
    left, seen = [node], {id(node)}
    for near in left:
        yield near
        for name in getattr(near, side):
            new = [other for other in neighbours.get(name, ()) if id(other) not in seen]
            seen.update(map(id, new))
            left += new
