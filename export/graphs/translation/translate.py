"""TensorFlow to ONNX by tf2onnx, one conversion at a time, the same in every process.

This takes tf2onnx's own steps one by one. So its optimizers can be told not to copy the graph
before each of them, and nothing depends on the order in which they come upon nodes.
"""

import contextlib
import itertools
import logging
from typing import Any

import onnx
import tensorflow as tf
from onnx import numpy_helper
from tf2onnx import tf_loader, utils
from tf2onnx.convert import tensor_names_from_structed
from tf2onnx.graph import Node
from tf2onnx.optimizer import _get_optimizers, optimize_graph
from tf2onnx.optimizer.merge_duplicated_nodes_optimizer import MergeDuplicatedNodesOptimizer
from tf2onnx.optimizer.reshape_optimizer import ReshapeOptimizer
from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer
from tf2onnx.tfonnx import process_tf_graph

from ....trainer.errors import InputError, first_line
from ...network.causes import cause
from ..graph import OPSET, nodes_of
from . import images, indexing
from .bfloat16 import without_bfloat16
from .corrections import correct
from .lowering import lowered_layers
from .operators import KEPT_EINSUM, custom_operators
from .replacing import rewriter
from .settling import settled

# By which TensorFlow marks a function that XLA compiles, and the call of one.
_COMPILED, _WHOLE = "_XlaMustCompile", "_noinline"


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


class _TransposesMoved(TransposeOptimizer):
    """Makes no Reshape of a Transpose that was moved without the shape of what it takes.

    By the old shape, tf2onnx would reshape one pixel of many channels to many pixels of one.
    """

    def post_optimize_action(self) -> None:
        graph: Any = self._g
        for node in (node for node in self.nodes if node.type == "Transpose"):
            taken, made = map(graph.get_shape, (node.input[0], node.output[0]))
            order = node.get_attr_value("perm")
            if taken and made and order and [taken[axis] for axis in order] != made:
                graph.set_shape(node.input[0], None)
        super().post_optimize_action()


OPTIMIZERS = {
    **_get_optimizers(),
    "merge_duplication": _MergeByScope,
    "reshape_optimizer": _ReshapesInside,
    "optimize_transpose": _TransposesMoved,
}


def translated(function: Any, *, settle: bool = False) -> onnx.ModelProto:
    """A tf.function with an input signature as tf2onnx converts it, with layers in lowered forms.

    An operator that tf2onnx cannot convert stays in the graph under its TensorFlow name. With
    `settle`, what follows from the sizes of images is computed now.
    """
    logger = logging.getLogger("tf2onnx")
    with lowered_layers(), contextlib.ExitStack() as stack:
        # It would log the operators that it cannot convert, which `conversion` names.
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL)
        _number_nodes(stack)
        concrete = _traced(function)
        try:
            model = _by_tf2onnx(concrete, settle, catch_errors=False)
        except Exception:  # of an optimizer, whatever it is; with copies it goes on without it
            model = _whatever_fails(concrete, settle)
    for node in nodes_of(model.graph):
        node.op_type = "Einsum" if node.op_type == KEPT_EINSUM else node.op_type
    correct(model)
    _fill_in(model.graph, concrete)
    return model


def _traced(function: Any) -> Any:
    try:
        return function.get_concrete_function()
    except (InputError, MemoryError, OSError):
        raise
    except Exception as error:  # of the network's layers, whatever it is
        raise InputError(
            f"network: cannot be traced for any number of images ({cause(error)}); take the "
            "batch from tf.shape(x)[0], and loop over no images"
        ) from error


def _whatever_fails(concrete: Any, settle: bool) -> onnx.ModelProto:
    try:
        return _by_tf2onnx(concrete, settle, catch_errors=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # of tf2onnx or of TensorFlow, whatever it is
        raise InputError(
            f"network: cannot be converted, since tf2onnx fails over it ({first_line(error)}); "
            "replace the layer that causes this"
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


def _by_tf2onnx(concrete: Any, settle: bool, *, catch_errors: bool) -> onnx.ModelProto:
    """With `catch_errors` tf2onnx copies the graph before each optimizer, in case one fails."""
    inputs = [tensor.name for tensor in concrete.inputs if tensor.dtype != tf.resource]
    outputs = [tensor.name for tensor in concrete.outputs]
    with tf.device("/cpu:0"):
        frozen = _frozen(concrete, inputs, outputs, settle)
    with tf.Graph().as_default() as graph, tf.device("/cpu:0"):
        tf.import_graph_def(frozen, name="")
        converted = process_tf_graph(
            graph,
            continue_on_error=True,
            opset=OPSET,
            custom_op_handlers=custom_operators(),
            custom_rewriter=[rewriter(images.RULES | indexing.RULES)],
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=tensor_names_from_structed(concrete, inputs, outputs),
        )
        return optimize_graph(converted, catch_errors, OPTIMIZERS).make_model("converted")


def _frozen(concrete: Any, inputs: list[str], outputs: list[str], settle: bool) -> Any:
    """A function as a GraphDef with its variables as constants, and without functions inside."""
    frozen = tf_loader.from_function(concrete, inputs, outputs)
    compiled = _keep_uncompiled(frozen)
    if settle:
        frozen = settled(frozen)
    if compiled or settle:
        frozen = _optimised(frozen, inputs, outputs)
    return without_bfloat16(frozen)


def _keep_uncompiled(frozen: Any) -> bool:
    """Have XLA compile none of the functions, which would hide their operators; whether any was."""
    functions = frozen.library.function
    nodes = [*frozen.node, *(node for function in functions for node in function.node_def)]
    marked = [owner for owner in (*functions, *nodes) if _COMPILED in owner.attr]
    for owner in marked:
        owner.attr.pop(_COMPILED)
        owner.attr.pop(_WHOLE, None)
    return bool(marked)


def _optimised(frozen: Any, inputs: list[str], outputs: list[str]) -> Any:
    """With functions and branches in place, and what is constant computed."""
    with tf.Graph().as_default():
        tf.import_graph_def(frozen, name="")
        return tf_loader.tf_optimize(inputs, outputs, frozen)


def _fill_in(graph: onnx.GraphProto, concrete: Any) -> None:
    """Make constants of tensors that a function took from around it, such as a layer's mean.

    tf2onnx freezes variables alone, and leaves these as inputs.
    """
    values = {inside.name: outside for outside, inside in concrete.graph.captures}
    for captured in [value for value in graph.input if value.name in values]:
        graph.input.remove(captured)
        if values[captured.name].dtype != tf.resource:
            array = values[captured.name].numpy()
            graph.initializer.append(numpy_helper.from_array(array, captured.name))
