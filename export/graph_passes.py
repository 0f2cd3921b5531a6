"""What happens to a converted graph before it is used: portable clean-up, and nothing custom."""

import tempfile
from pathlib import Path

import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf

from ..trainer.errors import InputError


def require_standard_operators(model: onnx.ModelProto, opset: int) -> None:
    """Raise InputError for an operator that ONNX lacks.

    What tf2onnx has no conversion for, it leaves in the graph under its TensorFlow name.
    """
    for node in model.graph.node:
        if not onnx.defs.has(node.op_type, opset, node.domain):
            # The first name is the model's, the last the operator's.
            layer = "/".join(node.name.split("/")[1:-1]) or node.name
            raise InputError(
                f"network: its layer {layer} has the operator {node.op_type}, for which ONNX has "
                "none; write that layer with others"
            )


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the Transposes that converting from NHWC to NCHW leaves.

    tf2onnx leaves them around products of two computed tensors. onnxruntime's basic level, which
    keeps to standard operators, moves and cancels all but those of 1×1 images.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "basic.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except InvalidProtobuf as error:  # as onnxruntime calls a full disk
            raise OSError(f"{path}: could not be written; free some space: {error}") from error
        basic = onnx.load(path)
    _fold_transposes_of_reshapes(basic.graph)
    return basic


def _fold_transposes_of_reshapes(graph: onnx.GraphProto) -> None:
    """Reshape to [-1, 1, 1, C], then Transpose to [-1, C, 1, 1]: a single Reshape to the latter.

    Moving dimensions of size 1 about the others leaves every number in its place.
    """
    constants = {value.name: value for value in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    for node in [node for node in graph.node if node.op_type == "Transpose"]:
        reshape = producers.get(node.input[0])
        if reshape is None or reshape.op_type != "Reshape" or reshape.input[1] not in constants:
            continue
        target = numpy_helper.to_array(constants[reshape.input[1]])
        permutation = list(node.attribute[0].ints)
        moved = [axis for axis in permutation if target[axis] != 1]
        # A 0 copies a dimension by its position, which the permutation would change.
        if moved != sorted(moved) or 0 in target:
            continue
        name = f"{node.name}/shape"
        graph.initializer.append(numpy_helper.from_array(target[permutation], name))
        folded = onnx.helper.make_node("Reshape", [reshape.input[0], name], node.output, node.name)
        node.CopyFrom(folded)
    drop_unused(graph)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes whose outputs nothing takes any more, and constants likewise."""
    wanted = {value.name for value in graph.output}
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted.update(node.input)
    kept = [node for node in graph.node if wanted & set(node.output)]
    constants = [value for value in graph.initializer if value.name in wanted]
    del graph.node[:]
    graph.node.extend(kept)
    del graph.initializer[:]
    graph.initializer.extend(constants)
