"""TensorFlow to ONNX by tf2onnx, one conversion at a time, the same in every process.

This takes tf2onnx's own steps one by one. So its optimizers can be told not to copy the graph
before each of them, and nothing depends on the order in which they come upon nodes.
"""

import contextlib
import itertools
import logging
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import numpy_helper
from tf2onnx import tf_loader, utils
from tf2onnx.convert import tensor_names_from_structed
from tf2onnx.graph import Node
from tf2onnx.optimizer import _get_optimizers, optimize_graph
from tf2onnx.optimizer.merge_duplicated_nodes_optimizer import MergeDuplicatedNodesOptimizer
from tf2onnx.optimizer.reshape_optimizer import ReshapeOptimizer
from tf2onnx.tfonnx import process_tf_graph

from ...trainer.errors import InputError, first_line
from .graph import OPSET, add_constant, constants_of, inferred, nodes_of, sizes_of
from .lowering import lowered_layers
from .operators import KEPT_EINSUM, custom_operators


class _MergeByScope(MergeDuplicatedNodesOptimizer):
    """Merges equal nodes into the one whose scope comes first, which is to name them all."""

    def _merge_nodes_that_are_duplicated(self, nodes_to_process: list[Any], graph: Any) -> None:
        nodes_to_process.sort(key=lambda node: node.name.rpartition("/")[0])
        super()._merge_nodes_that_are_duplicated(nodes_to_process, graph)


class _ReshapesInside(ReshapeOptimizer):
    """Leaves the Reshape alone that is an output: a Squeeze after it would not reach the output."""

    def _optimize_reshape(self, node: Any, graph: Any) -> bool:
        inside = set(graph.outputs).isdisjoint(node.output)
        return inside and super()._optimize_reshape(node, graph)


OPTIMIZERS = {
    **_get_optimizers(),
    "merge_duplication": _MergeByScope,
    "reshape_optimizer": _ReshapesInside,
}


def translated(function: Any) -> onnx.ModelProto:
    """A tf.function with an input signature as tf2onnx converts it, with layers in lowered forms.

    An operator that tf2onnx cannot convert stays in the graph under its TensorFlow name.
    """
    logger = logging.getLogger("tf2onnx")
    with lowered_layers(), contextlib.ExitStack() as stack:
        # It would log the operators that it cannot convert, which `conversion` names.
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL)
        _number_nodes(stack)
        concrete = function.get_concrete_function()
        try:
            model = _by_tf2onnx(concrete, catch_errors=False)
        except Exception:  # of an optimizer, whatever it is; with copies it goes on without it
            model = _whatever_fails(concrete)
    for node in nodes_of(model.graph):
        node.op_type = "Einsum" if node.op_type == KEPT_EINSUM else node.op_type
    _correct_resizes(model)
    _fill_in(model.graph, concrete)
    return model


def _whatever_fails(concrete: Any) -> onnx.ModelProto:
    try:
        return _by_tf2onnx(concrete, catch_errors=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # of tf2onnx or of TensorFlow, whatever it is
        raise InputError(
            f"network: cannot be converted, since tf2onnx fails over it ({first_line(error)}); "
            "write the layer that this is about with others"
        ) from error


def _number_nodes(stack: contextlib.ExitStack) -> None:
    """Have tf2onnx count names from 1, and order its sets of nodes by when they were first in one.

    Otherwise the names would count on through the process, and a set's order would follow from
    where its nodes lie in memory.
    """
    numbers = itertools.count()

    def number(node: Any) -> int:
        if not hasattr(node, "number"):
            node.number = next(numbers)
        return node.number

    for owner, name, value in ((utils, "INTERNAL_NAME", 1), (Node, "__hash__", number)):
        stack.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)


def _by_tf2onnx(concrete: Any, *, catch_errors: bool) -> onnx.ModelProto:
    """With `catch_errors` tf2onnx copies the graph before each optimizer, in case one fails."""
    inputs = [tensor.name for tensor in concrete.inputs if tensor.dtype != tf.resource]
    outputs = [tensor.name for tensor in concrete.outputs]
    with tf.device("/cpu:0"):
        frozen = tf_loader.from_function(concrete, inputs, outputs)
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        tf.import_graph_def(frozen, name="")
        converted = process_tf_graph(
            graph,
            continue_on_error=True,
            opset=OPSET,
            custom_op_handlers=custom_operators(),
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=tensor_names_from_structed(concrete, inputs, outputs),
        )
        return optimize_graph(converted, catch_errors, OPTIMIZERS).make_model("converted")


def _fill_in(graph: onnx.GraphProto, concrete: Any) -> None:
    """Make constants of tensors that a function took from around it, such as a layer's mean.

    tf2onnx freezes variables alone, and leaves these as inputs.
    """
    values = {inside.name: outside for outside, inside in concrete.graph.captures}
    for captured in [value for value in graph.input if value.name in values]:
        array = values[captured.name].numpy()
        graph.initializer.append(numpy_helper.from_array(array, captured.name))
        graph.input.remove(captured)


def _correct_resizes(model: onnx.ModelProto) -> None:
    """Replace the deprecated mode of all Resizes, and round their scales up."""
    # In order, since the size of one may follow from another's.
    for resize in (node for node in nodes_of(model.graph) if node.op_type == "Resize"):
        # onnxruntime complains on stderr, in every host, of tf2onnx's word for the pixel at
        # floor((x + 0.5) / scale). Half a pixel less and rounded is the same.
        modes = {attribute.name: attribute for attribute in resize.attribute}
        place = modes.get("coordinate_transformation_mode")
        if place is not None and place.s == b"tf_half_pixel_for_nn":
            place.s = b"half_pixel"
            modes["nearest_mode"].s = b"round_prefer_ceil"
        if len(resize.input) == 3:
            _round_up_scales(model.graph, resize)


def _round_up_scales(graph: onnx.GraphProto, resize: onnx.NodeProto) -> None:
    """Make the constant scales of a Resize large enough for the size that they stand for.

    5/12 as a float32 takes 12 pixels to 4.99…, of which ONNX takes the floor.
    """
    values, factors = inferred(graph), constants_of(graph).get(resize.input[2])
    shape = sizes_of(values[resize.input[0]]) if resize.input[0] in values else ()
    if factors is None or factors.shape != (len(shape),):
        return
    sizes = np.array([size or 0 for size in shape]) * factors.astype(np.float64)
    # Little enough to be the float32's own error, which is at most 2⁻²⁴ of it.
    short = (np.ceil(sizes) - sizes > 0) & (np.ceil(sizes) - sizes < sizes * 2.0**-23)
    if short.any():
        raised = np.where(short, np.nextafter(factors, np.float32(np.inf)), factors)
        resize.input[2] = add_constant(graph, f"{resize.name}/scales", raised)
