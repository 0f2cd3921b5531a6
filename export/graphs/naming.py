"""Order and names that follow from a graph alone, so that the same weights give the same file.

tf2onnx numbers the nodes that it adds, keeps any one of equal constants, and orders independent
nodes arbitrarily: all by the hashes of names and by where Python's objects lie in memory.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import onnx
from onnx import helper

from ...runtime.device.placement import NETWORK_SCOPE, NOISE_SCOPE
from ..baking.admission import EXPECTS
from .graph import graphs_of, nodes_of, replace_nodes, taken_by

# Scopes outside of the network that mean something. TensorFlow gives others to single operations.
_SCOPES = re.compile(f"begin|body|select|step[0-9]+|{EXPECTS}_.*|{NOISE_SCOPE}")


def copy_first_outputs(graph: onnx.GraphProto) -> None:
    """Of outputs that are the same value, make the first one the original of the others.

    tf2onnx makes any of them the result of a node, and the others Identities of it.
    """
    outputs = [value.name for value in graph.output]
    sources = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and {node.input[0], node.output[0]} <= set(outputs)
    }

    def root(name: str) -> str:
        return root(sources[name]) if name in sources else name

    first = {root(name): name for name in reversed(outputs)}
    originals = {name: first[root(name)] for name in outputs}
    nodes = [node for node in graph.node if node.output[0] not in sources]
    for node in nodes:
        node.input[:] = [originals.get(name, name) for name in node.input]
        node.output[:] = [originals.get(name, name) for name in node.output]
    for name, original in originals.items():
        if name != original:
            nodes.append(helper.make_node("Identity", [original], [name], name))
    replace_nodes(graph, nodes)


def canonical(model: onnx.ModelProto) -> None:
    """Order the nodes and name what is in the graph by its place.

    Nodes are called by scope and operator, tensors and constants by the node that makes or first
    takes them. Inputs and outputs keep their names, which are unique in the graph and the bodies of
    its Loops.
    """
    for graph in graphs_of(model.graph):
        graph.ClearField("doc_string")  # where tf2onnx says which number a function had
        replace_nodes(graph, _ordered(graph))
    names = _name_nodes(model.graph)
    for graph in graphs_of(model.graph):
        for values in (graph.initializer, graph.value_info):
            declared = {value.name: value for value in values}
            used: list[Any] = [declared[name] for name in names if name in declared]
            del values[:]
            values.extend(used)
            for value in values:
                value.name = names[value.name]
        for node in graph.node:
            node.input[:] = [names[name] for name in node.input]
            node.output[:] = [names[name] for name in node.output]


def _ordered(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes that lead to the outputs, each after the nodes it reads, in its inputs' order."""
    nodes = list(graph.node)
    makers = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    wanted, done = [makers[value.name] for value in reversed(graph.output)], set[int]()
    while wanted:
        place = wanted[-1]
        taken = (makers[name] for name in taken_by(nodes[place]) if name in makers)
        missing = [maker for maker in taken if maker not in done]
        if missing:
            wanted += reversed(missing)
            continue
        wanted.pop()
        if place not in done:
            done.add(place)
            yield nodes[place]


def _name_nodes(graph: onnx.GraphProto) -> dict[str, str]:
    """Name the nodes; the new names of all tensors by the old, in the order of their places."""
    names = {"": ""}
    for inner in graphs_of(graph):
        names |= {value.name: value.name for value in (*inner.input, *inner.output)}
    alike: Counter[str] = Counter()
    for node in nodes_of(graph):
        scopes = node.name.split("/")[:-1]
        if NETWORK_SCOPE not in scopes:
            scopes = [scope for scope in scopes if _SCOPES.fullmatch(scope)]
        name = "/".join([*scopes, node.op_type])
        node.name = f"{name}_{alike[name]}" if alike[name] else name
        alike[name] += 1
        for position, output in enumerate(node.output):
            names.setdefault(output, f"{node.name}:{position}")
    for node in nodes_of(graph):
        for position, taken in enumerate(node.input):
            names.setdefault(taken, f"{node.name}/{position}")
    return names
