"""How the values of a graph lie in memory, while its Transposes are put off.

A value is carried as it lies, with the order of its axes beside it, until an operator needs it as
it reads. `layout_rules` says what each operator takes as it lies.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..graph import constants_of, inferred, sizes_of

Shape = tuple[int | None, ...]
Order = tuple[int, ...]


@dataclass(frozen=True)
class Stored:
    """A value as it lies in memory: its axis i is axis `order[i]` of the tensor `name`."""

    name: str
    order: Order

    @property
    def moved(self) -> bool:
        """Whether it lies otherwise than it reads."""
        return self.order != tuple(range(len(self.order)))


class Layout:
    """The values of a graph, and the new nodes that make them.

    `shapes` are the sizes of each value as it reads, None where free; `rows` has matrices that hold
    another value's last axis as their rows, and that value; `stored` has the values that lie in
    tensors of other names.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants = constants_of(graph)
        self.shapes: dict[str, Shape] = {n: value.shape for n, value in self.constants.items()}
        for value in inferred(graph, data_prop=True).values():
            if value.type.tensor_type.HasField("shape"):
                self.shapes[value.name] = sizes_of(value)
        self.takers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.takers.setdefault(name, []).append(node)
        self.rows: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.new_constants: list[onnx.TensorProto] = []
        self.stored: dict[str, Stored] = {}
        self._settled: set[str] = set()

    def lying(self, value: str) -> Stored:
        """How a value lies."""
        if value in self.rows:
            self.settled(value)
        return self.stored.get(value, Stored(value, (*range(len(self.shapes.get(value, ()))),)))

    def moved(self, values: Sequence[str]) -> list[Stored]:
        """The values that do not lie as they read, as they lie."""
        return [self.stored[v] for v in values if v in self.stored and self.stored[v].moved]

    def add(
        self, like: onnx.NodeProto, inputs: Sequence[str], outputs: Sequence[str]
    ) -> onnx.NodeProto:
        """Add a node with the attributes of another, and return it."""
        node = deepcopy(like)
        if outputs != node.output:  # which leaves the name to a Transpose that makes this output
            node.name = outputs[0]
        node.input[:], node.output[:] = inputs, outputs
        self.nodes.append(node)
        return node

    def append(self, operator: str, inputs: list[str], output: str, **settings: Any) -> None:
        """Add a node of one output, and of its name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **settings))
        self._settled.add(output)

    def make(self, operator: str, inputs: list[str], value: str, order: Order, **more: Any) -> None:
        """Add a node that makes `value`, lying in this order."""
        self.append(operator, inputs, self.output(value, order), **more)

    def output(self, value: str, order: Order) -> str:
        """Name the tensor that holds a value in this order."""
        stored = Stored(f"{value}/stored", order)
        if not stored.moved:
            return value
        self.stored[value] = stored
        return stored.name

    def constant(self, values: np.ndarray, like: str) -> str:
        """Keep an array as a constant; its name."""
        name = f"{like}/constant{len(self.new_constants)}"
        self.new_constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def target(self, shape: Sequence[int | None], like: str) -> str:
        """Keep the second input of a Reshape to this shape; its name."""
        return self.constant(np.array([size or -1 for size in shape], np.int64), like)

    def settled(self, value: str) -> str:
        """The name of a tensor that holds a value as it reads; makes it if there is none yet."""
        stored = self.stored.get(value)
        if value in self._settled or (stored is None and value not in self.rows):
            return value
        if stored is None:
            source = self.rows[value]
            target = self.target([None, self.shapes[source][-1]], value)
            self.append("Reshape", [self.settled(source), target], value)
        elif not stored.moved:
            return stored.name
        elif not self._arranged(stored.name, self.shapes.get(value, ()), stored.order, value):
            self.append("Transpose", [stored.name], value, perm=stored.order)
        return value

    def lying_in(self, value: str, order: Order) -> str | None:
        """The name of a tensor that holds a value in this order; None if it would cost a Transpose.

        A constant of fewer axes is given some of size 1 in front.
        """
        rank = len(order)
        if not value:
            return value
        if value in self.constants:
            array = self.constants[value]
            if array.ndim > rank:
                return None
            if array.size == 1:
                return value
            array = array.reshape((1,) * (rank - array.ndim) + array.shape)
            return self.constant(array.transpose(np.argsort(order)), value)
        stored, shape = self.lying(value), self.shapes.get(value, ())
        if stored.order == order:
            return stored.name
        if len(shape) != rank or stored.moved:
            return None
        # In memory, axis j is to be axis `back[j]` of the value.
        back = tuple(map(int, np.argsort(order)))
        name, there = f"{value}/lying{order}", tuple(shape[i] for i in back)
        exists = name in self._settled or self._arranged(stored.name, there, back, name)
        return name if exists else None

    def _arranged(self, tensor: str, shape: Shape, order: Order, output: str) -> bool:
        """Transpose by reshaping, if all axes that change places have size 1.

        `shape`, () if unknown, is the result's, whose axis i is axis `order[i]` of the tensor.
        """
        large = [order[i] for i, size in enumerate(shape) if size != 1]
        if not shape or shape.count(None) > 1 or large != sorted(large):
            return False
        self.append("Reshape", [tensor, self.target(shape, output)], output)
        return True
