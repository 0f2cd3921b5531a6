"""What happens to a graph, in order, from a TensorFlow function to a file.

`convert` takes a flat function, without a loop, as far as a tidy graph:

1. `translation/`: tf2onnx makes an ONNX graph of it (`translate.py`). Layers such as
   GroupNormalization trace in forms that ONNX has one operator for (`lowering.py`, `attention.py`),
   and loops of a known number of turns are written out (`unrolling.py`). Numbers of type bfloat16
   become float32 (`bfloat16.py`). Resizing, padding, bins and others get operators of ONNX before
   tf2onnx sees them (`replacing.py`, with the rules in `images.py` and `indexing.py`), and some get
   conversions of our own (`operators.py`). Then `corrections.py` puts right what tf2onnx makes of
   resizing and transposed convolutions.
2. An operator that ONNX lacks or the runtime refuses is an error that names its layer
   (`refusing.py`). Before that, all is tried again with sizes that are computed
   (`translation/settling.py`). Convolutions of float64 numbers become float32
   (`rewriting/single_precision.py`).
3. `rewriting/tidying.py`: onnxruntime merges, folds and cancels what plain operators allow.
   `einsums.py` writes Einsums with other operators, except products of two computed values;
   `masks.py` makes masks of attention constant; `masked_scores.py` keeps softmax from underflow;
   `fusible.py` writes GELUs and normalizations of tokens so that onnxruntime has one kernel for
   each.
4. `rewriting/layout_rules.py`, with `layout.py` and `layout_products.py`: Transposes between
   channels first and channels last are put off until something needs them, so that most are never
   made.
5. `naming.py`: of outputs that are the same value, the first is the original.

The network of an ONNX file begins with the second step: `network/onnx_graph.py` has made a graph of
opset 18 of it. Any network is converted once, by itself, and then joined to the step of each graph:

6. `rewriting/half_precision.py`: with precision=float16, weights and most of the computation become
   float16.
7. `rewriting/blocked.py`: images stay in the blocks in which onnxruntime's convolutions leave them.
8. `assemble.py`: each graph's own functions are converted and plugged together with the network.
9. `loops.py`: one step becomes the body of a Loop, which owns the weights, or is written out.
10. `naming.py`, again: nodes get an order and names that follow from the graph alone, so that the
    same weights give the same file.

`graph.py` has what all of them use. `cuda_check.py` reads finished graphs and changes none.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import onnx
from onnx import helper

from ...runtime.checking import GraphError, Port, Signature, check, taken_operators
from ...trainer.errors import InputError
from .graph import BATCH, OPSET, finished, nodes_of
from .naming import copy_first_outputs
from .refusing import refused
from .rewriting.einsums import einsums, without_einsums
from .rewriting.fusible import take_in_weights, write_fusible_gelus
from .rewriting.masked_scores import raise_masked_scores
from .rewriting.masks import shrink_masks
from .rewriting.single_precision import with_single_precision
from .rewriting.tidying import tidied, with_fewer_transposes
from .translation.translate import translated


def convert(function: Any, image_numbers: int = 0) -> onnx.ModelProto:
    """A tf.function with an input signature as a tidy model of opset 18, N its free dimension.

    `image_numbers` are those of an image of the bundle, if that is larger than any input. Raises
    InputError, which names the layer, for what ONNX lacks or the runtime would refuse.
    """
    try:
        return converted(translated(function), image_numbers)
    except InputError:
        return converted(translated(function, settle=True), image_numbers)


def converted(model: onnx.ModelProto, image_numbers: int = 0) -> onnx.ModelProto:
    """A flat graph of opset 18 after all steps from the second on; InputError as `convert`."""
    require_standard_operators(model)
    with_single_precision(model)
    model = tidied(model)
    if einsums(model):
        model = tidied(without_einsums(model))
    if shrink_masks(model.graph):
        model = tidied(model)
    raise_masked_scores(model.graph)
    write_fusible_gelus(model.graph)
    take_in_weights(model.graph)
    operators = {*taken_operators(), "Constant"}  # without control flow, for one
    _require(model, lambda node: node.op_type in operators, "which the runtime does not take")
    graph = with_fewer_transposes(model).graph
    copy_first_outputs(graph)
    for value in (*graph.input, *graph.output):
        for dimension in value.type.tensor_type.shape.dim[:1]:
            if not dimension.dim_value:
                dimension.dim_param = BATCH
    model = finished(graph)
    _require_loadable(model, image_numbers)
    return model


def _require_loadable(model: onnx.ModelProto, image_numbers: int) -> None:
    """Raise InputError for a graph that the runtime would refuse, as far as it is known here."""
    inputs = tuple(map(_port, model.graph.input))
    if any(isinstance(size, str) for port in inputs for size in port.shape[1:]):
        return  # since the runtime knows one free size alone
    outputs = [deepcopy(value) for value in model.graph.output]
    del model.graph.output[:]  # whose sizes are declared elsewhere
    try:
        check(model.SerializeToString(), Signature(inputs, ()), image_numbers)
    except GraphError as error:
        nodes = {node.name: node for node in model.graph.node}
        raise refused(model.graph, nodes.get(error.node or ""), str(error)) from error
    finally:
        model.graph.output.extend(outputs)


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    shape = [size.dim_value or size.dim_param or None for size in tensor.shape.dim]
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return Port(value.name, dtype, tuple(shape))


def require_standard_operators(model: onnx.ModelProto) -> None:
    """Raise InputError for an operator that ONNX lacks, such as one that tf2onnx left as it was."""
    has = onnx.defs.has
    _require(model, lambda n: has(n.op_type, OPSET, n.domain), "for which ONNX has none")


def _require(model: onnx.ModelProto, fits: Callable[[onnx.NodeProto], bool], why: str) -> None:
    for node in nodes_of(model.graph):
        if not fits(node):
            raise refused(model.graph, node, f"has the operator {node.op_type}, {why}")
