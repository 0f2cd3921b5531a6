"""Inputs that are one number, which hosts give as [] or as [1]."""

import numpy as np
import onnx
from onnx import helper

from ..baking.admission import EXPECTS
from .graph import add_constant, nodes_of


def take_numbers(model: onnx.ModelProto, *, as_lists: bool = False) -> None:
    """Let a graph take its single numbers in either shape; `as_lists` declares them as [1].

    Any other number of them is an error. onnxruntime does not check it by itself where an input is
    declared as [].
    """
    graph = model.graph
    names = {value.name: f"{value.name}/number" for value in graph.input if _is_number(value)}
    for node in nodes_of(graph):
        node.input[:] = [names.get(name, name) for name in node.input]
    shape = add_constant(graph, "number/shape", np.zeros(0, np.int64))
    nodes = [
        helper.make_node("Reshape", [name, shape], [number], f"{EXPECTS}_one_number_{name}/number")
        for name, number in names.items()
    ]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*nodes, *kept])
    for value in graph.input if as_lists else ():
        if value.name in names:
            value.type.tensor_type.shape.dim.add().dim_value = 1


def _is_number(value: onnx.ValueInfoProto) -> bool:
    return not value.type.tensor_type.shape.dim
