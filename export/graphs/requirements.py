"""What is refused: operators that ONNX lacks, and those that the runtime does not take."""

from collections.abc import Callable

import onnx

from ...runtime.checking import taken_operators
from ...trainer.errors import InputError
from .graph import OPSET, nodes_of


def require_standard_operators(model: onnx.ModelProto) -> None:
    """Raise InputError for an operator that ONNX lacks.

    An operator that tf2onnx cannot convert stays in the graph under its TensorFlow name.
    """
    _require(
        model,
        lambda node: onnx.defs.has(node.op_type, OPSET, node.domain),
        "for which ONNX has none",
    )


def require_taken_operators(model: onnx.ModelProto) -> None:
    """Raise InputError for an operator that the runtime refuses, such as control flow."""
    _require(
        model,
        lambda node: node.op_type in taken_operators() or node.op_type == "Constant",
        "which the runtime does not take",
    )


def _require(model: onnx.ModelProto, fits: Callable[[onnx.NodeProto], bool], why: str) -> None:
    for node in nodes_of(model.graph):
        if not fits(node):
            # The first name is the model's, the last the operator's.
            layer = "/".join(node.name.split("/")[1:-1]) or node.name
            raise InputError(
                f"network: its layer {layer} has the operator {node.op_type}, {why}; write that "
                "layer with others"
            )
