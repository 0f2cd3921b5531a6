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

from .graph import constants_of, sizes_of

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

    @property
    def channels_first(self) -> bool:
        """Whether an image or tokens [N, …, C] lie as [N, C, …]."""
        rank = len(self.order)
        return rank in (3, 4) and self.order == (0, *range(2, rank), 1)


class Layout:
    """The values of a graph, and the new nodes that make them.

    `shapes` are the sizes of each value as it reads, None where free; `rows` has matrices that hold
    another value's last axis as their rows, and that value.
    """

    def __init__(self, graph: onnx.GraphProto, inferred: onnx.GraphProto) -> None:
        self.constants = constants_of(graph)
        self.shapes: dict[str, Shape] = {n: value.shape for n, value in self.constants.items()}
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            if value.type.tensor_type.HasField("shape"):
                self.shapes[value.name] = sizes_of(value)
        self.takers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.takers.setdefault(name, []).append(node)
        self.rows: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.new_constants: list[onnx.TensorProto] = []
        self._stored: dict[str, Stored] = {}
        self._settled: set[str] = set()

    def lying(self, value: str) -> Stored:
        """How a value lies."""
        if value in self.rows:
            self.settled(value)
        rank = len(self.shapes.get(value, ()))
        return self._stored.get(value, Stored(value, tuple(range(rank))))

    def moved(self, values: Sequence[str]) -> list[Stored]:
        """The values that do not lie as they read, as they lie."""
        known = (self._stored[value] for value in values if value in self._stored)
        return [stored for stored in known if stored.moved]

    def add(self, like: onnx.NodeProto, inputs: list[str], outputs: list[str]) -> None:
        """Add a node with the attributes of another."""
        node = deepcopy(like)
        if outputs != node.output:  # which leaves the name to a Transpose that makes this output
            node.name = outputs[0]
        node.input[:], node.output[:] = inputs, outputs
        self.nodes.append(node)

    def append(self, operator: str, inputs: list[str], output: str, **settings: Any) -> None:
        """Add a node of one output, and of its name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **settings))

    def make(self, operator: str, inputs: list[str], value: str, order: Order, **more: Any) -> None:
        """Add a node that makes `value`, lying in this order."""
        self.append(operator, inputs, self.output(value, order), **more)

    def output(self, value: str, order: Order) -> str:
        """Name the tensor that holds a value in this order."""
        stored = Stored(f"{value}/stored", order)
        return self.keep(value, stored) if stored.moved else value

    def keep(self, value: str, stored: Stored) -> str:
        """Remember how a value lies; the name of its tensor."""
        self._stored[value] = stored
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
        stored = self._stored.get(value)
        if value in self._settled or (stored is None and value not in self.rows):
            return value
        if stored is None:
            source = self.rows[value]
            target = self.target([None, self.shapes[source][-1]], value)
            self.append("Reshape", [self.settled(source), target], value)
        elif not stored.moved:
            return stored.name
        elif not self._arranged(stored.name, self.shapes.get(value), stored.order, value):
            self.append("Transpose", [stored.name], value, perm=stored.order)
        self._settled.add(value)
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
        stored, shape = self.lying(value), self.shapes.get(value)
        if stored.order == order:
            return stored.name
        if shape is None or len(shape) != rank or stored.moved:
            return None
        # In memory, axis j is to be axis `back[j]` of the value.
        back = tuple(map(int, np.argsort(order)))
        name = f"{value}/lying{order}"
        there = tuple(shape[i] for i in back)
        if name not in self._settled and not self._arranged(stored.name, there, back, name):
            return None
        self._settled.add(name)
        return name

    def _arranged(self, tensor: str, shape: Shape | None, order: Order, output: str) -> bool:
        """Transpose by reshaping, if all axes that change places have size 1.

        `shape` is the shape of the result, whose axis i is axis `order[i]` of the tensor.
        """
        if shape is None or shape.count(None) > 1:
            return False
        large = [order[i] for i, size in enumerate(shape) if size != 1]
        if large == sorted(large):
            self.append("Reshape", [tensor, self.target(shape, output)], output)
        return large == sorted(large)
