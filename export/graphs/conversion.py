"""Flat TensorFlow functions to ONNX graphs, and putting graphs together."""

import contextlib
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import onnx
import tensorflow as tf
import tf2onnx
from onnx import TensorProto, helper, numpy_helper
from tf2onnx.constants import ENV_TF2ONNX_CATCH_ERRORS

from .lowering import KEPT_EINSUM, custom_operators, lowered_layers
from .passes import (
    nodes_of,
    replace_deprecated_mode,
    require_standard_operators,
    require_taken_operators,
    round_up_scales,
    tidied,
    widen_channel_constants,
    with_fewer_transposes,
)

OPSET = 18
BATCH = "N"

DTYPES = {
    "uint8": TensorProto.UINT8,
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


def convert(function: Any) -> onnx.ModelProto:
    """A tf.function with an input signature as a tidy model of opset 18, N its free dimension."""
    converted = convert_only(function)
    require_standard_operators(converted, OPSET)
    model = tidied(converted)
    require_taken_operators(model)
    graph = with_fewer_transposes(model).graph
    for value in (*graph.input, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if dimensions and not dimensions[0].dim_value:
            dimensions[0].dim_param = BATCH
    return finished(graph)


def convert_only(function: Any) -> onnx.ModelProto:
    """A tf.function with an input signature as tf2onnx makes it of layers in lowered forms."""
    # What it cannot convert it leaves in the graph, where `require_standard_operators` finds it.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    with lowered_layers(), _named_operations():
        try:
            with _optimized_in_place():
                converted = _converted(function)
        except Exception:  # of an optimizer, whatever it is; with copies it goes on without it
            converted = _converted(function)
    for node in nodes_of(converted.graph):
        node.op_type = "Einsum" if node.op_type == KEPT_EINSUM else node.op_type
        if node.op_type == "Resize":
            replace_deprecated_mode(node)
    round_up_scales(converted)
    _fill_in(converted.graph, function.get_concrete_function().graph.captures)
    return converted


def _converted(function: Any) -> onnx.ModelProto:
    model, _ = tf2onnx.convert.from_function(
        function,
        input_signature=function.input_signature,
        opset=OPSET,
        custom_op_handlers=custom_operators(),
    )
    return model


@contextlib.contextmanager
def _optimized_in_place() -> Iterator[None]:
    """Keep tf2onnx from copying the graph before each of its optimizers, in case one fails."""
    before = os.environ.get(ENV_TF2ONNX_CATCH_ERRORS)
    os.environ[ENV_TF2ONNX_CATCH_ERRORS] = "FALSE"
    try:
        yield
    finally:
        del os.environ[ENV_TF2ONNX_CATCH_ERRORS]
        if before is not None:
            os.environ[ENV_TF2ONNX_CATCH_ERRORS] = before


def _fill_in(graph: onnx.GraphProto, captures: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> None:
    """Make constants of tensors that a function took from around it, such as a layer's mean.

    tf2onnx freezes variables alone, and leaves these as inputs.
    """
    values = {inside.name: outside for outside, inside in captures}
    for given in [value for value in graph.input if value.name in values]:
        graph.initializer.append(numpy_helper.from_array(values[given.name].numpy(), given.name))
        graph.input.remove(given)


@contextlib.contextmanager
def _named_operations() -> Iterator[None]:
    """Have what is not a layer, such as `keras.ops.erfinv`, trace under its name as layers do."""
    call = keras.Operation.__call__

    def named_call(self: Any, *arguments: Any, **settings: Any) -> Any:
        if isinstance(self, keras.Layer):
            return call(self, *arguments, **settings)
        with tf.name_scope(self.name):
            return call(self, *arguments, **settings)

    keras.Operation.__call__ = named_call
    try:
        yield
    finally:
        keras.Operation.__call__ = call


def finished(graph: onnx.GraphProto) -> onnx.ModelProto:
    """The graph as a model that plain onnxruntime reads."""
    opsets = [helper.make_opsetid("", OPSET)]
    version = helper.find_min_ir_version_for(opsets)
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=version, producer_name="diffkiln"
    )


def tidy(graph: onnx.GraphProto) -> onnx.ModelProto:
    """The graph cleaned up, as a model."""
    widen_channel_constants(graph)
    if any(value.data_type == TensorProto.FLOAT16 for value in graph.initializer):
        # The CPU has few operators for float16; onnxruntime would write its Casts into the file.
        return finished(graph)
    return finished(tidied(finished(graph)).graph)


def value_info(spec: tf.TensorSpec, name: str | None = None) -> onnx.ValueInfoProto:
    """Declare a tensor; a free first dimension is the batch."""
    shape = [BATCH if size is None else size for size in spec.shape]
    return helper.make_tensor_value_info(name or str(spec.name), DTYPES[spec.dtype.name], shape)


@dataclass
class Parts:
    """Nodes in the order they run, with the constants they use."""

    nodes: list[onnx.NodeProto]
    constants: list[onnx.TensorProto]

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(self.nodes + other.nodes, self.constants + other.constants)


def parts(
    model: onnx.ModelProto,
    prefix: str,
    names: Mapping[str, str],
    *,
    keep: Collection[str] = (),
) -> Parts:
    """A copy of a model's nodes and constants, all names prefixed but those that `names` maps.

    Constants of `keep` stay as they are called, and are left out.
    """
    renamed = {"": "", **{name: name for name in keep}, **names}
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    for node in graph.node:
        node.name = prefix + node.name
        node.input[:] = [renamed.get(name, prefix + name) for name in node.input]
        node.output[:] = [renamed.get(name, prefix + name) for name in node.output]
    constants = [value for value in graph.initializer if value.name not in keep]
    for constant in constants:
        constant.name = renamed.get(constant.name, prefix + constant.name)
    return Parts(list(graph.node), constants)


def ancestors(nodes: Sequence[onnx.NodeProto], outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """The nodes that lead to these outputs, in order."""
    wanted, found = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted.update(node.input)
            found.append(node)
    return found[::-1]
