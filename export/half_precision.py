"""The network's graph in half precision: weights and computation float16, its ends float32."""

import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from ..trainer.errors import InputError

_STEPS = 20
_LARGEST = 65504.0
_WITH_WEIGHTS = ("Conv", "Gather", "Gemm", "MatMul")

# Sums over whole images overflow or lose digits in half precision, and angles lose theirs: these
# compute in float32, between Casts.
_IN_FLOAT32 = (
    "Cos",
    "Exp",
    "Log",
    "Pow",
    "Range",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "Sin",
)


def half_precision(network: onnx.ModelProto) -> onnx.ModelProto:
    """The graph noisy, condition → prediction with float16 inside; inputs and output as they were.

    What becomes of the condition before weights meet it stays in float32: the frequencies of an
    embedding need its digits. Raises InputError for weights beyond float16's range.
    """
    for value in network.graph.initializer:
        if value.data_type == onnx.TensorProto.FLOAT:
            _require_half(value)
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    with warnings.catch_warnings():
        # Weights too small for half precision become zero, which the certificate judges.
        warnings.simplefilter("ignore", UserWarning)
        half: onnx.ModelProto = convert_float_to_float16(
            copy,
            keep_io_types=True,
            op_block_list=list(_IN_FLOAT32),
            node_block_list=_of_condition(copy.graph),
        )
    OnnxModel.graph_topological_sort(half.graph)
    return half


def _require_half(weights: onnx.TensorProto) -> None:
    largest = float(np.abs(numpy_helper.to_array(weights)).max(initial=0))
    if largest > _LARGEST:
        raise InputError(
            f"precision=float16: the network's weights {weights.name} reach {largest:g}, expected "
            f"at most {_LARGEST:g}; nothing was written. Export with precision=float32"
        )


def _of_condition(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that descend from the condition, up to the first that have weights."""
    condition, names = {"condition"}, []
    for node in graph.node:
        if set(node.input) & condition and node.op_type not in _WITH_WEIGHTS:
            condition.update(node.output)
            names.append(node.name)
    return names


def require_finite(step: onnx.ModelProto, noise: np.ndarray, seeds: np.ndarray) -> None:
    """Raise InputError for the first node of the step that makes a value beyond float16's range.

    It runs 20 steps from noise float32 [N, H, W, C]. An overflow need not reach the pictures: a
    softmax or a clip hides it there, and makes them wrong.
    """
    session = _all_values(step)
    names = [output.name for output in session.get_outputs()]
    state = {"noisy": noise, "previous_image": np.zeros_like(noise), "seeds": seeds}
    wanted = [value.name for value in session.get_inputs()]
    for k in range(_STEPS):
        feeds = {"step": np.array(k), "steps": np.array(_STEPS), **state}
        values = session.run(names, {name: feeds[name] for name in wanted})
        made = dict(zip(names, map(np.asarray, values), strict=True))
        for name, value in made.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise InputError(
                    f"precision=float16: the network's value {name} leaves the range of float16 in "
                    f"step {k} of {_STEPS}; nothing was written. Export with precision=float32"
                )
        state |= {name: made.get(f"next_{name}", state[name]) for name in state}


def _all_values(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session of the model with every value of its graph as an output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    named = {value.name for value in copy.graph.output}
    for node in copy.graph.node:
        copy.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in node.output if name and name not in named
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
