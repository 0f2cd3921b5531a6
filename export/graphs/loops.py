"""One step, many times: in an ONNX Loop whose body owns the weights, or written out."""

from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from ..baking.admission import admitted
from ..baking.process import ALL_RESULTS, RESULT, TRIPS, Process, traced
from .conversion import convert
from .graph import BATCH, finished, parts, renamed, value_info
from .rewriting.tidying import tidy


def looped(
    process: Process,
    step: onnx.ModelProto,
    *,
    begin: onnx.ModelProto | None = None,
    finish: onnx.ModelProto | None = None,
) -> onnx.ModelProto:
    """The process as a graph whose Loop has the step as its body.

    What begins and finishes it may be given as graphs.
    """
    graph = _begin(process, begin)
    result = ALL_RESULTS if process.gives_frames else "drawn"
    carried = [f"begin/{name}" for name in process.carried]
    # Carried rather than stacked, the images of all steps but the last are dropped at once.
    blank = [] if process.gives_frames else ["blank"]
    # Without a condition, onnxruntime's own shape inference fails.
    inputs = ["begin/trips", "true", *carried, *blank]
    outputs = [*(f"last/{name}" for name in process.carried), result]
    loop = helper.make_node("Loop", inputs, outputs, "loop", body=_body(process, step))
    graph.node.extend([*_blank_nodes(process), loop])
    nothing = _number("nothing", process.nothing, process.result.dtype.as_numpy_dtype)
    graph.initializer.extend([_number("true", True, np.bool_), _number("none", 0), nothing])
    if process.gives_frames:
        select, names = convert(process.select_function), {process.output: "drawn"}
        graph.MergeFrom(parts(select, "select/", names, keep=(ALL_RESULTS, "every")))
    choices = ["any", "drawn", "nothing"]
    if finish is not None:
        graph.MergeFrom(_finish(process, finish, "drawn"))
        graph.initializer.append(_number("no_image", 0, process.drawn.dtype.as_numpy_dtype))
        choices = ["any", "finished", "no_image"]
    # OpenVINO has an earlier run's result after a Loop without trips.
    graph.node.append(helper.make_node("Greater", ["begin/trips", "none"], ["any"], "any"))
    graph.node.append(helper.make_node("Where", choices, [process.output], "drawn_or_nothing"))
    return _model(process, graph)


def unrolled(
    process: Process,
    step: onnx.ModelProto,
    steps: int,
    batch_size: int | None,
    *,
    begin: onnx.ModelProto | None = None,
    finish: onnx.ModelProto | None = None,
) -> onnx.ModelProto:
    """The process as a graph without control flow, of `steps` steps written out.

    The input `steps` stays, since hosts give it; it expects this number, as other inputs do.
    """
    weights = [value.name for value in step.graph.initializer]
    graph = _begin(process, begin)
    graph.initializer.extend([*step.graph.initializer, _number("unrolled_steps", steps)])
    others = {value.name for value in step.graph.input} - {"step", "steps"}
    before = {name: f"begin/{name}" for name in others}
    for k in range(steps):
        prefix = f"step{k}/"
        names = {"step": f"{prefix}step", "steps": "unrolled_steps", **before}
        graph.MergeFrom(parts(step, prefix, names, keep=weights))
        graph.initializer.append(_number(f"{prefix}step", k))
        before |= {name: f"{prefix}next_{name}" for name in process.carried}
    last, nothing = f"step{steps - 1}/{RESULT}", process.nothing
    if finish is not None:
        graph.MergeFrom(_finish(process, finish, last))
        last, nothing = "finished", 0
    choices = ["select/right_steps", last, "nothing"]
    graph.MergeFrom(parts(convert(_right(steps)), "select/", {"trips": "begin/trips"}))
    graph.node.append(helper.make_node("Where", choices, [process.output], "drawn_or_nothing"))
    graph.initializer.append(_number("nothing", nothing, process.drawn.dtype.as_numpy_dtype))
    return tidy(_model(process, graph, batch_size or BATCH).graph)


def _right(steps: int) -> Any:
    """Whether as many trips are to be made as there are steps, as a tf.function."""
    rule = f"steps_of_{steps}"
    return traced(lambda trips: {"right_steps": admitted({rule: tf.equal(trips, steps)})}, [TRIPS])


def _begin(process: Process, begin: onnx.ModelProto | None) -> onnx.GraphProto:
    model = convert(process.begin_function) if begin is None else begin
    inputs, outputs = model.graph.input, model.graph.output
    names = {value.name: f"begin/{value.name.removeprefix('first_')}" for value in outputs}
    return parts(model, "begin/", names, keep=[value.name for value in inputs])


def _finish(process: Process, finish: onnx.ModelProto, last: str) -> onnx.GraphProto:
    """What makes `finished` of the last result and of what begins the process."""
    others = {value.name for value in finish.graph.input} - {RESULT}
    names = {RESULT: last, process.output: "finished"}
    return parts(finish, "finish/", {**names, **{name: f"begin/{name}" for name in others}})


def _blank_nodes(process: Process) -> list[onnx.NodeProto]:
    """Nodes to the images of no step, for the Loop to carry into the first."""
    if process.gives_frames:
        return []
    like = f"begin/{process.carried[0]}"
    return [
        helper.make_node("Shape", [like], ["shape"], name="shape"),
        helper.make_node("Expand", ["nothing", "shape"], ["blank"], name="blank"),
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


def _number(name: str, number: float, dtype: Any = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(number, dtype), name)


def _model(process: Process, graph: onnx.GraphProto, batch: str | int = BATCH) -> onnx.ModelProto:
    inputs = [value_info(spec, batch=batch) for spec in process.inputs]
    output = value_info(process.drawn, process.output, batch)
    if process.gives_frames:
        frames = onnx.TensorShapeProto.Dimension(dim_param="F")
        output.type.tensor_type.shape.dim.insert(0, frames)
    return finished(helper.make_graph(graph.node, "graph", inputs, [output], graph.initializer))
