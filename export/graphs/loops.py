"""One step, many times: in an ONNX Loop whose body owns the weights, or written out."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..baking.process import ALL_RESULTS, RESULT, Process
from .conversion import convert
from .graph import BATCH, finished, parts, renamed, value_info
from .rewriting.tidying import tidy

_TRIPS = helper.make_node("Add", ["steps", "extra_steps"], ["trips"], name="trips")


def looped(process: Process, step: onnx.ModelProto) -> onnx.ModelProto:
    """The process as a graph whose Loop has the step as its body."""
    graph = _begin(process)
    output = ALL_RESULTS if process.gives_frames else process.output
    carried = [f"begin/{name}" for name in process.carried]
    # Carried rather than stacked, the images of all steps but the last are dropped at once.
    blank = [] if process.gives_frames else ["blank"]
    # Without a condition, onnxruntime's own shape inference fails.
    inputs = ["trips", "true", *carried, *blank]
    outputs = [*(f"last/{name}" for name in process.carried), output]
    loop = helper.make_node("Loop", inputs, outputs, "loop", body=_body(process, step))
    graph.node.extend([_TRIPS, *_blank_nodes(process), loop])
    numbers = _number("extra_steps", process.extra_steps), _number("true", True, np.bool_)
    graph.initializer.extend(numbers)
    if process.gives_frames:
        ends = (ALL_RESULTS, "every", process.output)
        graph.MergeFrom(parts(convert(process.select_function), "select/", {}, keep=ends))
    return _model(process, graph)


def unrolled(
    process: Process, step: onnx.ModelProto, steps: int, batch_size: int | None
) -> onnx.ModelProto:
    """The process as a graph without control flow, of `steps` steps written out.

    The input `steps` stays, since hosts give it; for any other number the images are black.
    """
    weights = [value.name for value in step.graph.initializer]
    graph = _begin(process)
    graph.initializer.extend([*step.graph.initializer, _number("unrolled_steps", steps)])
    others = {value.name for value in step.graph.input} - {"step", "steps"}
    before = {name: f"begin/{name}" for name in others}
    for k in range(steps):
        prefix = f"step{k}/"
        names = {"step": f"{prefix}step", "steps": "unrolled_steps", **before}
        graph.MergeFrom(parts(step, prefix, names, keep=weights))
        graph.initializer.append(_number(f"{prefix}step", k))
        before |= {name: f"{prefix}next_{name}" for name in process.carried}
    numbers, choices = ["steps", "unrolled_steps"], [f"step{steps - 1}/{RESULT}", "black"]
    equal = helper.make_node("Equal", numbers, ["right_steps"], "right_steps")
    where = helper.make_node("Where", [*equal.output, *choices], [process.output], "black_unless")
    graph.node.extend([equal, where])
    graph.initializer.append(_number("black", 0, process.result.dtype.as_numpy_dtype))
    return tidy(_model(process, graph, batch_size or BATCH).graph)


def _begin(process: Process) -> onnx.GraphProto:
    model = convert(process.begin_function)
    inputs, outputs = model.graph.input, model.graph.output
    names = {value.name: f"begin/{value.name.removeprefix('first_')}" for value in outputs}
    return parts(model, "begin/", names, keep=[value.name for value in inputs])


def _blank_nodes(process: Process) -> list[onnx.NodeProto]:
    """Nodes to the images of no step, for the Loop to carry into the first."""
    if process.gives_frames:
        return []
    dtype = value_info(process.result).type.tensor_type.elem_type
    value, like = helper.make_tensor("blank", dtype, [1], [0]), f"begin/{process.carried[0]}"
    return [
        helper.make_node("Shape", [like], ["shape"], name="shape"),
        helper.make_node("ConstantOfShape", ["shape"], ["blank"], name="blank", value=value),
    ]


def _body(process: Process, step: onnx.ModelProto) -> onnx.GraphProto:
    """(iteration, condition, carried, previous result) → (condition, carried, result).

    Everything else that the step takes is the outer graph's. The previous result is not used.
    """
    others = {value.name for value in step.graph.input} - {"step", "steps", *process.carried}
    outer = {"steps": "steps", **{name: f"begin/{name}" for name in others}}
    body = parts(step, "body/", outer)
    body.node.append(helper.make_node("Identity", ["body/condition"], ["body/go_on"], "body/go_on"))
    values = {value.name: value for value in (*step.graph.input, *step.graph.output)}

    def declared(name: str) -> onnx.ValueInfoProto:
        return renamed(values[name], f"body/{name}")

    condition, go_on = (
        helper.make_tensor_value_info(f"body/{name}", TensorProto.BOOL, [])
        for name in ("condition", "go_on")
    )
    previous = [] if process.gives_frames else [value_info(process.result, "body/previous")]
    inputs = [declared("step"), condition, *map(declared, process.carried), *previous]
    following = [f"next_{name}" for name in process.carried]
    outputs = [go_on, *map(declared, following), declared(RESULT)]
    return helper.make_graph(body.node, "body", inputs, outputs, body.initializer)


def _number(name: str, number: int, dtype: Any = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(number, dtype), name)


def _model(process: Process, graph: onnx.GraphProto, batch: str | int = BATCH) -> onnx.ModelProto:
    inputs = [value_info(spec, batch=batch) for spec in process.inputs]
    output = value_info(process.result, process.output, batch)
    if process.gives_frames:
        frames = onnx.TensorShapeProto.Dimension(dim_param="F")
        output.type.tensor_type.shape.dim.insert(0, frames)
    return finished(helper.make_graph(graph.node, "graph", inputs, [output], graph.initializer))
