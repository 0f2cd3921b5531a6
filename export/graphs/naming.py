"""Order and names that follow from a graph alone, so that the same weights give the same file.

tf2onnx numbers what it adds, keeps any of several nodes or constants that are alike, and puts what
does not depend on each other in any order: all by where Python's objects happen to lie in memory.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import onnx

from ...runtime.device.placement import NETWORK_SCOPE, NOISE_SCOPE
from .passes import graphs_of, nodes_of

# Scopes outside of the network that mean something. TensorFlow gives others to single operations.
_SCOPES = re.compile(f"begin|body|select|step[0-9]+|{NOISE_SCOPE}")


def canonical(model: onnx.ModelProto) -> None:
    """Order the nodes and name what is in the graph by its place.

    Nodes are called by scope and operator, tensors and constants by the node that makes or first
    takes them. Inputs and outputs keep their names, which are unique in the graph and the bodies of
    its Loops.
    """
    for graph in graphs_of(model.graph):
        graph.ClearField("doc_string")  # where tf2onnx says which number a function had
        nodes = list(_ordered(graph))
        del graph.node[:]
        graph.node.extend(nodes)
    names = _name_nodes(model.graph)
    for graph in graphs_of(model.graph):
        for values in (graph.initializer, graph.value_info):
            _rename(values, names)
        for node in graph.node:
            node.input[:] = [names[name] for name in node.input]
            node.output[:] = [names[name] for name in node.output]


def _ordered(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes that lead to the outputs, each behind those that it takes, these in its order."""
    nodes = list(graph.node)
    makers = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    wanted, done = [makers[value.name] for value in reversed(graph.output)], set[int]()
    while wanted:
        place = wanted[-1]
        taken = (makers[name] for name in _taken(nodes[place]) if name in makers)
        missing = [maker for maker in taken if maker not in done]
        if missing:
            wanted += reversed(missing)
            continue
        wanted.pop()
        if place not in done:
            done.add(place)
            yield nodes[place]


def _taken(node: onnx.NodeProto) -> Iterator[str]:
    """What a node takes, in the bodies of a Loop as well."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _taken(inner)
        yield from (value.name for value in attribute.g.output)


def _name_nodes(graph: onnx.GraphProto) -> dict[str, str]:
    """Name the nodes; the new names of all tensors by the old, in the order of their places."""
    names = {"": ""}
    for inner in graphs_of(graph):
        names |= {value.name: value.name for value in (*inner.input, *inner.output)}
    alike: Counter[str] = Counter()
    for node in nodes_of(graph):
        name = "/".join([*_scope(node), node.op_type])
        node.name = f"{name}_{alike[name]}" if alike[name] else name
        alike[name] += 1
        for position, output in enumerate(node.output):
            names.setdefault(output, f"{node.name}:{position}")
    for node in nodes_of(graph):
        for position, taken in enumerate(node.input):
            names.setdefault(taken, f"{node.name}/{position}")
    return names


def _rename(values: Any, names: dict[str, str]) -> None:
    """Rename what a graph declares, in the order of `names`, without what is not used."""
    declared = {value.name: value for value in values}
    used = [declared[name] for name in names if name in declared]
    for value in used:
        value.name = names[value.name]
    del values[:]
    values.extend(used)


def _scope(node: onnx.NodeProto) -> list[str]:
    parts = node.name.split("/")[:-1]
    return parts if NETWORK_SCOPE in parts else [part for part in parts if _SCOPES.fullmatch(part)]
