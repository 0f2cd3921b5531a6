"""ONNX graphs that hypothesis draws node by node."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

Draw = Callable[[st.SearchStrategy], Any]
Shape = tuple[int, ...]


@dataclass
class Graph:
    """Nodes drawn one by one; `shapes` are those of the values for a batch of one."""

    draw: Draw
    shapes: dict[str, Shape]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(self, operator: str, inputs: list[str], shape: Shape, **settings: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **settings))
        self.shapes[name] = shape
        return name

    def constant(self, values: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def weights(self, *shape: int) -> str:
        generator = np.random.default_rng(len(self.constants))
        return self.constant(generator.standard_normal(shape).astype(np.float32))

    def value(self, least: int = 1) -> str:
        names = [name for name, shape in self.shapes.items() if len(shape) >= least]
        return self.draw(st.sampled_from(names[-3:]))


def drawn_model(graph: Graph, source: str, outputs: Sequence[str]) -> onnx.ModelProto:
    """The graph as a model of opset 18, from one value of any batch to others."""
    shape = ["N", *graph.shapes[source][1:]]
    made = helper.make_graph(
        graph.nodes or [helper.make_node("Identity", [source], ["y"])],
        "graph",
        [helper.make_tensor_value_info(source, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        graph.constants,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run_unoptimised(model: onnx.ModelProto, **tensors: np.ndarray) -> list[np.ndarray]:
    """All outputs, by each operator as it is written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(output) for output in session.run(None, tensors)]
