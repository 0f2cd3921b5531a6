"""Graphs of a few nodes: what the check knows of their tensors, and what onnxruntime makes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, TensorProto, helper
from onnx.numpy_helper import from_array

from diffkiln.runtime.checking import Port, Signature, check
from diffkiln.runtime.checking.facts import Fact
from diffkiln.runtime.engine.binding import DTYPES

FLOAT = TensorProto.FLOAT
X = ("x", FLOAT, ["N", 4, 6, 8])
IMAGE = ("x", FLOAT, ["N", 8, 6, 4])


def run(model: ModelProto, names: list[str], images: int) -> dict[str, np.ndarray]:
    """Every one of these tensors, as onnxruntime makes it for so many images."""
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {
        entry.name: np.full(
            [images if isinstance(size, str) else size for size in entry.shape],
            entry.name != "step",  # which is below the steps
            DTYPES[entry.type],
        )
        for entry in session.get_inputs()
    }
    made = map(np.asarray, session.run(names, feeds))
    return dict(zip(names, made, strict=True))


def array(name: str, values: Any, dtype: Any = None) -> TensorProto:
    return from_array(np.asarray(values, dtype), name)


def ops(*nodes: tuple[Any, ...]) -> list[onnx.NodeProto]:
    return [
        helper.make_node(kind, i, o, **(more[0] if more else {})) for kind, i, o, *more in nodes
    ]


def facts_of(
    nodes: list[onnx.NodeProto], constants: list[TensorProto], *inputs: tuple
) -> tuple[ModelProto, Mapping[str, Fact]]:
    """A model of these nodes, and what the check knows of each tensor."""
    values = [helper.make_tensor_value_info(*value) for value in inputs]
    graph = helper.make_graph(nodes, "g", values, [], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    ports = [
        Port(name, helper.tensor_dtype_to_np_dtype(dtype).name, tuple(shape))
        for name, dtype, shape in inputs
    ]
    return model, check(model.SerializeToString(), Signature(tuple(ports), ())).tensors
