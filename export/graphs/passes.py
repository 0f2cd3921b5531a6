"""What happens to a converted graph before it is used: portable clean-up, and nothing custom."""

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf

from ...runtime.checking import taken_operators
from ...trainer.errors import InputError, first_line
from .layout_rules import without_transposes

_BROADCASTING = ("Add", "Div", "Max", "Min", "Mul", "Sub")


def require_standard_operators(model: onnx.ModelProto, opset: int) -> None:
    """Raise InputError for an operator that ONNX lacks.

    What tf2onnx has no conversion for, it leaves in the graph under its TensorFlow name.
    """
    _require(
        model,
        lambda node: onnx.defs.has(node.op_type, opset, node.domain),
        "for which ONNX has none",
    )


def require_taken_operators(model: onnx.ModelProto) -> None:
    """Raise InputError for an operator that the runtime refuses, control flow among them."""
    taken = taken_operators()
    _require(
        model,
        lambda node: node.op_type in taken,
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


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of all graphs inside it."""
    for inner in graphs_of(graph):
        yield from inner.node


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all graphs inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_of(attribute.g)


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the Transposes that converting from NHWC to NCHW leaves.

    tf2onnx leaves them around products of two computed tensors. onnxruntime's basic level, which
    keeps to standard operators, moves and cancels most.
    """
    return _optimised(model, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)


def with_fewer_transposes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its Transposes put off, unless onnxruntime then makes more of them."""
    other = without_transposes(model)
    drop_unused(other.graph)
    other = tidied(other)
    return min((other, model), key=transposes_made)


def transposes_made(model: onnx.ModelProto) -> int:
    """How many Transposes onnxruntime makes: not those that it does inside of matrix products."""
    made = _optimised(model, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)
    return sum(node.op_type == "Transpose" for node in made.graph.node)


def _optimised(
    model: onnx.ModelProto, level: onnxruntime.GraphOptimizationLevel
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except InvalidProtobuf as error:  # as onnxruntime calls a full disk
            raise OSError(f"{path}: could not be written; free some space: {error}") from error
        except Exception as error:  # onnxruntime's errors have no other common base
            raise InputError(
                "network: cannot be converted, since tf2onnx makes a graph of it that onnxruntime "
                f"does not load ({first_line(error)}); write the layer that this is about with "
                "others"
            ) from error
        return onnx.load(path)


def widen_channel_constants(graph: onnx.GraphProto) -> None:
    """Repeat constants of a number per channel along a row of the images that they meet.

    The results are the same to the bit; onnxruntime takes a row at a time instead of three numbers,
    which is several times as fast.
    """
    inferred = onnx.shape_inference.infer_shapes(onnx.helper.make_model(graph)).graph
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    constants = {value.name: value for value in graph.initializer}
    widened: dict[str, onnx.TensorProto] = {}
    for node in (node for node in graph.node if node.op_type in _BROADCASTING):
        images = [shapes[name] for name in node.input if len(shapes.get(name, ())) == 4]
        for position, name in enumerate(node.input):
            if name in constants and images and 1 < math.prod(constants[name].dims) <= 4:
                values, (*_, width, channels) = numpy_helper.to_array(constants[name]), images[0]
                if width and values.size == values.shape[-1] == channels:
                    row = np.tile(values.reshape(1, channels), (width, 1))
                    node.input[position] = f"{name}/row{width}"
                    widened[node.input[position]] = numpy_helper.from_array(
                        row, node.input[position]
                    )
    graph.initializer.extend(widened.values())
    drop_unused(graph)


def replace_deprecated_mode(resize: onnx.NodeProto) -> None:
    """Say in other words to take the pixel at floor((x + 0.5) / scale).

    onnxruntime complains on stderr, in every host, of tf2onnx's word for it. Half a pixel less and
    rounded is the same.
    """
    modes = {attribute.name: attribute for attribute in resize.attribute}
    place = modes.get("coordinate_transformation_mode")
    if place is not None and place.s == b"tf_half_pixel_for_nn":
        place.s = b"half_pixel"
        modes["nearest_mode"].s = b"round_prefer_ceil"


def round_up_scales(model: onnx.ModelProto) -> None:
    """Make the constant scales of Resizes large enough for the sizes that they stand for.

    5/12 as a float32 takes 12 pixels to 4.99…, of which ONNX takes the floor.
    """
    graph = model.graph
    resizes = [node for node in graph.node if node.op_type == "Resize" and len(node.input) == 3]
    for resize in resizes:  # in order, since the size of one may follow from another's
        inferred = onnx.shape_inference.infer_shapes(model).graph
        shapes = {
            value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
            for value in (*inferred.input, *inferred.value_info)
        }
        constants = {value.name: value for value in graph.initializer}
        shape, scales = shapes.get(resize.input[0], []), constants.get(resize.input[2])
        if scales is None or list(scales.dims) != [len(shape)]:
            continue
        factors = numpy_helper.to_array(scales)
        sizes = np.array(shape) * factors.astype(np.float64)
        # Little enough to be the float32's own error, which is at most 2⁻²⁴ of it.
        short = (np.ceil(sizes) - sizes > 0) & (np.ceil(sizes) - sizes < sizes * 2.0**-23)
        raised = np.where(short, np.nextafter(factors, np.float32(np.inf)), factors)
        if short.any():
            resize.input[2] = f"{resize.name}/scales"
            graph.initializer.append(numpy_helper.from_array(raised, resize.input[2]))


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
