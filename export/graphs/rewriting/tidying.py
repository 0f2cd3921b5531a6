"""Cleaning a graph up: what onnxruntime can simplify, Transposes, and numbers per channel."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf

from ....trainer.errors import first_line
from ..graph import add_constant, constants_of, drop_unused, finished, inferred, sizes_of
from ..refusing import node_in, refused
from .einsums import einsums
from .layout_rules import without_transposes

_BROADCASTING = ("Add", "Div", "Max", "Min", "Mul", "Sub")
_MOST_CHANNELS = 4


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without most of the Transposes that converting from NHWC to NCHW leaves.

    tf2onnx leaves them around products of two computed tensors. onnxruntime's basic level, which
    keeps to standard operators, moves and cancels most.
    """
    return _optimised(model, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)


def with_fewer_transposes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its Transposes put off, unless onnxruntime then makes more of them.

    An Einsum makes more than it shows, and slowly.
    """
    other = without_transposes(model)
    drop_unused(other.graph)
    return min((tidied(other), model), key=lambda graph: (einsums(graph), transposes_made(graph)))


def transposes_made(model: onnx.ModelProto) -> int:
    """How many Transposes onnxruntime makes, except those inside its matrix products."""
    optimised = _optimised(model, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    return sum(node.op_type == "Transpose" for node in optimised.graph.node)


def tidy(graph: onnx.GraphProto) -> onnx.ModelProto:
    """The assembled graph cleaned up, as a model."""
    widen_channel_constants(graph)
    if any(value.data_type == TensorProto.FLOAT16 for value in graph.initializer):
        # The CPU has few operators for float16; onnxruntime would write its Casts into the file.
        return finished(graph)
    return finished(tidied(finished(graph)).graph)


def _optimised(
    model: onnx.ModelProto, level: onnxruntime.GraphOptimizationLevel
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        content, providers = model.SerializeToString(), ["CPUExecutionProvider"]
        try:
            onnxruntime.InferenceSession(content, options, providers)
        except InvalidProtobuf as error:  # as onnxruntime calls a full disk
            raise OSError(f"{path}: could not be written; free some space: {error}") from error
        except Exception as error:  # onnxruntime's errors have no other common base
            problem = (
                "cannot be converted, since tf2onnx makes a graph of it that onnxruntime does not "
                f"load ({first_line(error)})"
            )
            raise refused(model.graph, node_in(model.graph, problem), problem) from error
        return onnx.load(path)


def widen_channel_constants(graph: onnx.GraphProto) -> None:
    """Repeat constants of a number per channel along a row of the images that they meet.

    The results are the same to the bit; onnxruntime takes a row at a time instead of three numbers,
    which is several times as fast.
    """
    shapes = {name: sizes_of(value) for name, value in inferred(graph).items()}
    constants = constants_of(graph)
    for node in (node for node in graph.node if node.op_type in _BROADCASTING):
        images = [shapes[name] for name in node.input if len(shapes.get(name, ())) == 4]
        for position, name in enumerate(node.input):
            values = constants.get(name)
            if values is None or not images or not 1 < values.size <= _MOST_CHANNELS:
                continue
            *_, width, channels = images[0]
            if width and values.size == values.shape[-1] == channels:
                row = np.tile(values.reshape(1, -1), (width, 1))
                node.input[position] = add_constant(graph, f"{name}/row{width}", row)
    drop_unused(graph)
