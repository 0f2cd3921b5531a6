"""Small networks in ONNX files, as exporters write them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH, CHANNELS = 6, 5, 3
_WIDTH = 8


def onnx_network(
    *,
    batch: Any = "N",
    timestep: Sequence[Any] = ("N",),
    timestep_type: int = TensorProto.INT64,
    channels_first: bool = True,
    out_channels: int = CHANNELS,
    rows: int = 0,
    steps: int = 0,
    half: bool = False,
    opset: int = 18,
    extra: Sequence[onnx.NodeProto] = (),
) -> onnx.ModelProto:
    """Two convolutions that take the timestep, in a sine or a table of so many `steps`.

    With `rows`, labels have a table too. `extra` are nodes from "changed" to "hidden".
    """
    kind, sizes = (TensorProto.FLOAT16 if half else TensorProto.FLOAT), (HEIGHT, WIDTH)
    shape = [batch, CHANNELS, *sizes] if channels_first else [batch, *sizes, CHANNELS]
    inputs = [
        helper.make_tensor_value_info("sample", kind, shape),
        helper.make_tensor_value_info("timestep", timestep_type, timestep),
    ]
    named = {
        "first": _weights(1, _WIDTH, CHANNELS, 3, 3),
        "second": _weights(2, out_channels, _WIDTH, 3, 3),
        "waves": np.linspace(0.1, 2.0, _WIDTH)[None],
        "table": _weights(3, max(steps, 1), _WIDTH),
        "classes": _weights(4, max(rows, 1), _WIDTH),
    }
    weights = [_constant(name, each, half) for name, each in named.items()]
    target = [batch if batch != "N" else -1, _WIDTH, 1, 1]
    weights.append(numpy_helper.from_array(np.array(target), "target"))
    weights.append(numpy_helper.from_array(np.array([0 if not timestep else 1]), "axis"))
    node = helper.make_node
    first, last = ("sample", "out") if channels_first else ("image", "image_out")
    nodes = [node("Gather", ["table", "timestep"], ["embedded"])]
    if not steps:
        nodes = [
            node("Cast", ["timestep"], ["level"], to=kind),
            node("Unsqueeze", ["level", "axis"], ["column"]),
            node("Mul", ["column", "waves"], ["angle"]),
            node("Sin", ["angle"], ["embedded"]),
        ]
    if rows:
        inputs.append(helper.make_tensor_value_info("class_labels", TensorProto.INT64, ["N"]))
        nodes.append(node("Gather", ["classes", "class_labels"], ["row"]))
        nodes.append(node("Add", ["embedded", "row"], ["both"]))
    nodes += [
        node("Reshape", ["both" if rows else "embedded", "target"], ["added"]),
        node("Conv", [first, "first"], ["convolved"], "/down/conv/Conv", pads=[1, 1, 1, 1]),
        node("Add", ["convolved", "added"], ["sum"]),
        node("Tanh", ["sum"], ["changed" if extra else "hidden"]),
        *extra,
        node("Conv", ["hidden", "second"], [last], "/out/conv/Conv", pads=[1, 1, 1, 1]),
    ]
    if not channels_first:
        nodes.insert(0, node("Transpose", ["sample"], [first], perm=[0, 3, 1, 2]))
        nodes.append(node("Transpose", [last], ["out"], perm=[0, 2, 3, 1]))
    out = [batch, out_channels, *sizes] if channels_first else [batch, *sizes, out_channels]
    outputs = [helper.make_tensor_value_info("out", kind, out)]
    graph = helper.make_graph(nodes, "main_graph", inputs, outputs, weights)
    domains = {"", *(each.domain for each in extra)}
    opsets = [helper.make_opsetid(each, 1 if each else opset) for each in sorted(domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def saved_network(path: Path, **settings: Any) -> Path:
    """The network in a file."""
    onnx.save(onnx_network(**settings), path)
    return path


def _weights(seed: int, *shape: int) -> np.ndarray:
    return 0.3 * np.random.default_rng(seed).normal(size=shape)


def _constant(name: str, values: np.ndarray, half: bool) -> onnx.TensorProto:
    return numpy_helper.from_array(values.astype(np.float16 if half else np.float32), name)
