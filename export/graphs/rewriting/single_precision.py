"""Double precision where onnxruntime has it, and single precision from where it has none.

A network of float64 numbers has convolutions, which onnxruntime computes in float32 alone. What
follows from their results has no more digits, and so is computed in float32 too. Anything else,
such as the angles of a time embedding, stays as it is.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper

from ..graph import add_constant, constants_of, inferred, replace_nodes

# Which onnxruntime has on the CPU, but not for float64.
_SINGLE_ONLY = """
Acos Acosh Asin Asinh Atan Atanh AveragePool Celu Conv ConvTranspose Cosh Elu Erf GlobalAveragePool
GlobalMaxPool HardSigmoid InstanceNormalization LRN LeakyRelu OneHot PRelu Resize Selu Sinh Softplus
Softsign Tan ThresholdedRelu
"""
_SINGLE, _DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE


def with_single_precision(model: onnx.ModelProto) -> None:
    """Compute in float32 what onnxruntime has no float64 for, and what follows from it."""
    graph = model.graph
    if not any(node.op_type in _SINGLE_ONLY.split() for node in graph.node):
        return
    values = {name: value.type.tensor_type.elem_type for name, value in inferred(graph).items()}
    values |= {value.name: value.data_type for value in graph.initializer}
    if _DOUBLE not in values.values():
        return
    lowering = _Lowering(graph, {name for name, dtype in values.items() if dtype == _DOUBLE})
    for node in graph.node:
        lowering.take(node)
    lowering.give_outputs()
    replace_nodes(graph, lowering.nodes)
    del graph.value_info[:]


class _Lowering:
    """Goes through nodes in order; `single` are the values of float64 that are float32 now."""

    def __init__(self, graph: onnx.GraphProto, doubles: set[str]) -> None:
        self._graph, self._doubles = graph, doubles
        self._constants = constants_of(graph)
        # A float32 value for one of float64, by name.
        self._narrow: dict[str, str] = {}
        self.single: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []

    def take(self, node: onnx.NodeProto) -> None:
        doubles = self._doubles.intersection(node.input)
        if doubles and (node.op_type in _SINGLE_ONLY.split() or doubles & self.single):
            node.input[:] = [self._narrowed(name) for name in node.input]
            self.single |= self._doubles.intersection(node.output)
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.i == _DOUBLE:
                    attribute.i = _SINGLE
        elif node.op_type == "Cast" and node.output[0] in self._doubles:
            self._note_widened(node)
        self.nodes.append(node)

    def _note_widened(self, node: onnx.NodeProto) -> None:
        """What was float32 before needs no Cast to be so again."""
        makers = {value.name: value.type.tensor_type.elem_type for value in self._graph.input}
        if makers.get(node.input[0]) == _SINGLE:
            self._narrow[node.output[0]] = node.input[0]

    def _narrowed(self, name: str) -> str:
        if name not in self._doubles or name in self.single:
            return name
        if name not in self._narrow:
            self._narrow[name] = self._made_narrow(name)
        return self._narrow[name]

    def _made_narrow(self, name: str) -> str:
        if name in self._constants:
            single = self._constants[name].astype(np.float32)
            return add_constant(self._graph, f"{name}/single", single)
        self._cast(name, f"{name}/single", _SINGLE)
        return f"{name}/single"

    def _cast(self, source: str, target: str, dtype: int) -> None:
        node = helper.make_node("Cast", [source], [target], f"{target}/Cast", to=dtype)
        self.nodes.append(node)

    def give_outputs(self) -> None:
        """Give the outputs the type that they had."""
        names = {value.name for value in self._graph.output} & self.single
        for node in self.nodes:
            for side in (node.input, node.output):
                side[:] = [f"{name}/single" if name in names else name for name in side]
        for name in sorted(names):
            self._cast(f"{name}/single", name, _DOUBLE)
