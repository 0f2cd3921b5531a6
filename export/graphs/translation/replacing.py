"""TensorFlow's operators replaced by ONNX's, before tf2onnx converts the others.

By then it has read the graph and not yet changed it: every shape is TensorFlow's own. Later it
forgets some. The rules are in `images.py` and `indexing.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto
from tf2onnx import utils

from ....runtime.device.placement import NOISE_SCOPE

Rule = Callable[["Site"], None]

_TYPES = {
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float64): TensorProto.DOUBLE,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int64): TensorProto.INT64,
}


class Site:
    """A node of TensorFlow's, and the nodes of ONNX that are to take its place.

    A rule that returns without `finish` leaves the node to tf2onnx.
    """

    def __init__(self, graph: Any, node: Any) -> None:
        self.graph, self.node = graph, node
        self.inputs: list[str] = list(node.input)

    @property
    def is_of_layer(self) -> bool:
        """Whether the node is in the scope of a layer, and so not of a sampler's own."""
        scope, slash, _ = self.node.name.partition("/")
        return bool(slash) and scope != NOISE_SCOPE

    def shape(self, position: int = 0) -> tuple[int | None, ...] | None:
        """The sizes of an input's axes, None where free; None if even their number is."""
        return _sizes(self.graph.get_shape(self.inputs[position]))

    def image_sizes(self) -> list[int] | None:
        """The sizes of what the first input has for each image, None unless all are known."""
        _, *sizes = self.shape() or (None, None)
        known = [size for size in sizes if size is not None]
        return known if len(known) == len(sizes) else None

    def output_shape(self) -> tuple[int | None, ...] | None:
        """The sizes of the output's axes."""
        return _sizes(self.node.output_shapes[0])

    def constant(self, position: int) -> np.ndarray | None:
        """The numbers of an input, None if only a run will show them."""
        source = self.node.inputs[position]
        return np.asarray(source.get_tensor_value(as_list=False)) if source.is_const() else None

    def dtype(self, position: int = 0) -> np.dtype:
        """The type of an input's numbers."""
        return np.dtype(utils.map_onnx_to_numpy_type(self.graph.get_dtype(self.inputs[position])))

    def result_dtype(self) -> np.dtype:
        """The type of the output's numbers."""
        return np.dtype(utils.map_onnx_to_numpy_type(self.node.output_dtypes[0]))

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute as TensorFlow has it."""
        return self.node.get_attr_value(name, default)

    def make(self, operator: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """Add a node of ONNX; the name of its output. Arrays become constants."""
        name = utils.make_name(f"{self.node.name}/{operator}")
        made = self.graph.make_node(operator, self._named(inputs), attr=attributes, name=name)
        return made.output[0]

    def cast(self, value: str, dtype: Any) -> str:
        """A value as numbers of another type."""
        return self.make("Cast", value, to=_TYPES[np.dtype(dtype)])

    def replace_input(self, position: int, value: str | np.ndarray) -> None:
        """Give TensorFlow's node another input."""
        (name,) = self._named([value])
        self.graph.replace_input(self.node, self.inputs[position], name, position)

    def finish(self, operator: str, *inputs: str | np.ndarray, **attributes: Any) -> None:
        """Put a node of ONNX in the place of TensorFlow's."""
        node, names = self.node, self._named(inputs)
        dtypes, shapes, outputs = node.output_dtypes[:1], node.output_shapes[:1], node.output[:1]
        self.graph.remove_node(node.name)
        self.graph.make_node(
            operator,
            names,
            attr=attributes,
            outputs=outputs,
            shapes=shapes,
            dtypes=dtypes,
            name=node.name,
        )

    def _named(self, inputs: Iterable[str | np.ndarray]) -> list[str]:
        return [value if isinstance(value, str) else self._constant(value) for value in inputs]

    def _constant(self, values: np.ndarray) -> str:
        name = utils.make_name(f"{self.node.name}/constant")
        return self.graph.make_const(name, values).output[0]


def rewriter(rules: Mapping[str, Rule]) -> Callable[[Any, list[Any]], list[Any]]:
    """The rules, by TensorFlow's operator, as tf2onnx takes them."""

    def rewrite(graph: Any, nodes: list[Any]) -> list[Any]:
        for node in [node for node in nodes if node.type in rules]:
            rules[node.type](Site(graph, node))
        return graph.get_nodes()

    return rewrite


def _sizes(shape: list[int] | None) -> tuple[int | None, ...] | None:
    return None if shape is None else tuple(None if size < 0 else size for size in shape)
