"""The network's graph in half precision: weights and computation float16, its ends float32."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from ....trainer.errors import InputError
from ..graph import add_constant, ancestors, constants_of, drop_unused, runner, step_outputs

_STEPS = 20
_FLOAT, _HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
_LARGEST = 65504.0
_WITH_WEIGHTS = ("Conv", "Gather", "Gemm", "MatMul")
_ELEMENTWISE = ("Abs", "Add", "Clip", "Div", "Max", "Min", "Mul", "Neg", "Sub")
_BOUNDED = ("Clip", "Max", "Min", "Where")
_ANGLED = ("Cos", "Sin")

# Sums over whole images overflow or lose digits in half precision, and so do the roots and inverses
# of their results; ONNX has Celu and Range in float32 alone.
# fmt: off
_IN_FLOAT32 = (
    *_ANGLED, "Celu", "CumSum", "Exp", "GlobalAveragePool", "GroupNormalization",
    "InstanceNormalization", "LayerNormalization", "Log", "Pow", "Range", "Reciprocal", "ReduceL1",
    "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceSum", "ReduceSumSquare",
    "Sqrt",
)
# fmt: on


def half_precision(network: onnx.ModelProto) -> onnx.ModelProto:
    """The graph noisy, condition → prediction with float16 inside; inputs and output as they were.

    Normalisations and sums compute in float32. So does everything computed from the condition until
    it meets weights, or its sines and cosines: timesteps and frequencies need their digits.
    Raises InputError for weights beyond float16's range.
    """
    copy = deepcopy(network)
    full = _in_float32(copy.graph)
    _separate_constants(copy.graph, full)
    _require_half(copy.graph, full)
    with warnings.catch_warnings():
        # Weights too small for half precision become zero, which the certificate judges.
        warnings.simplefilter("ignore", UserWarning)
        half: onnx.ModelProto = convert_float_to_float16(
            copy, keep_io_types=True, op_block_list=[], node_block_list=list(full)
        )
    OnnxModel.graph_topological_sort(half.graph)
    _skip_round_trips(half.graph)
    drop_unused(half.graph)
    # Types of the values as they were, some of which are gone.
    del half.graph.value_info[:]
    return half


def _in_float32(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes that compute in float32.

    A function of one value that only such nodes take is among them: the squares under a mean, which
    overflow from 256 on, and the epsilon under a root, which float16 may not have.
    """
    constants = {value.name for value in graph.initializer}
    names = _of_condition(graph)
    in_half = {value.name for value in graph.output}
    for node in reversed(graph.node):
        unary = node.op_type in _ELEMENTWISE and len(set(node.input) - constants) == 1
        if node.op_type in _IN_FLOAT32 or (unary and not in_half & set(node.output)):
            names.add(node.name)
        if node.name not in names:
            in_half.update(node.input)
    return names


def _of_condition(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes that follow from the condition alone, up to the first that have weights.

    Those with weights are among them where a sine or cosine follows: learned frequencies.
    """
    images, condition, plain = {"noisy"}, {"condition"}, {"condition"}
    alone, names = [], set()
    for node in graph.node:
        inputs = set(node.input)
        if inputs & images:
            images.update(node.output)
        elif inputs & condition:
            condition.update(node.output)
            alone.append(node)
            if not inputs & condition - plain and node.op_type not in _WITH_WEIGHTS:
                plain.update(node.output)
                names.add(node.name)
    angles = [node.output[0] for node in alone if node.op_type in _ANGLED]
    return names | {node.name for node in ancestors(alone, angles)}


def _separate_constants(graph: onnx.GraphProto, full: Collection[str]) -> None:
    """Give the nodes in float32 their own copies of constants that others take, too."""
    constants = constants_of(graph)
    in_half = {name for node in graph.node if node.name not in full for name in node.input}
    for node in (node for node in graph.node if node.name in full):
        for place, name in enumerate(node.input):
            if name in constants and name in in_half:
                node.input[place] = add_constant(graph, f"{name}/float32", constants[name])


def _require_half(graph: onnx.GraphProto, full: Collection[str]) -> None:
    """Raise InputError for constants beyond float16's range; bounds become its ends instead."""
    others = [node for node in graph.node if node.op_type not in _BOUNDED]
    taken = {name for node in others if node.name not in full for name in node.input}
    for weights in graph.initializer:
        if weights.data_type != _FLOAT or weights.name not in taken:
            continue
        largest = float(np.abs(numpy_helper.to_array(weights)).max(initial=0))
        if largest > _LARGEST:
            raise InputError(
                f"precision=float16: the network's weights {weights.name} reach {largest:g}, "
                f"expected at most {_LARGEST:g}; nothing was written. Export with precision=float32"
            )


def _skip_round_trips(graph: onnx.GraphProto) -> None:
    """Join nodes in float32 that follow each other, between which the converter casts to float16.

    Those Casts would take from an angle the digits for which it is computed in float32.
    """
    values = (*graph.input, *graph.value_info)
    floats = {value.name for value in values if value.type.tensor_type.elem_type == _FLOAT}
    rounded, restored = {}, {}
    for cast in (node for node in graph.node if node.op_type == "Cast"):  # in topological order
        source, to = cast.input[0], cast.attribute[0].i
        if to == _HALF and source in floats:
            rounded[cast.output[0]] = source
        elif to == _FLOAT and source in rounded:
            restored[cast.output[0]] = rounded[source]
    for node in graph.node:
        node.input[:] = [restored.get(name, name) for name in node.input]


def require_finite(
    step: onnx.ModelProto, tensors: Mapping[str, np.ndarray], counts: Sequence[int] = ()
) -> None:
    """Raise InputError for the first node of the step that makes a value beyond float16's range.

    It runs 20 steps, and each of the step `counts`, on these inputs by name, `noisy` among them.
    An overflow need not reach the pictures: a softmax or a clip
    hides it there, and makes them wrong.
    """
    copy = deepcopy(step)
    values = [name for node in copy.graph.node for name in node.output]
    # The solver around the network is float32, and may divide by zero where a Where drops it.
    inner = [onnx.ValueInfoProto(name=name) for name in values if name.startswith("network")]
    copy.graph.output.extend(inner)
    run = runner(copy.SerializeToString())
    for steps in (_STEPS, *counts):
        for k, outputs in enumerate(step_outputs(run, {**tensors, "steps": np.array(steps)})):
            for name, value in outputs.items():
                if value.dtype.kind == "f" and not np.isfinite(value).all():
                    raise InputError(
                        f"precision=float16: the network's value {name} leaves the range of "
                        f"float16 in step {k} of {steps}; nothing was written. Export with "
                        "precision=float32"
                    )
