"""The network's graph in half precision: weights and computation float16, its ends float32."""

import warnings

import numpy as np
import onnx
import onnxruntime
from onnxruntime.transformers.float16 import convert_float_to_float16

from ..trainer.errors import InputError

_STEPS = 20

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

    What follows from the condition alone stays in float32: it is small, and a timestep of 1000 or
    the frequencies of an embedding need its digits.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    with warnings.catch_warnings():
        # Weights too small for half precision become zero, which the certificate judges.
        warnings.simplefilter("ignore", UserWarning)
        return convert_float_to_float16(
            copy,
            keep_io_types=True,
            op_block_list=list(_IN_FLOAT32),
            node_block_list=_of_condition(copy.graph),
        )


def _of_condition(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that descend from the condition and not from the images."""
    images, condition, names = {"noisy"}, {"condition"}, []
    for node in graph.node:
        inputs = set(node.input)
        if inputs & images:
            images.update(node.output)
        elif inputs & condition:
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
