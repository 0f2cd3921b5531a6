"""The ONNX graphs of a bundle.

Converting the loop as a whole leaves the weights outside of it, where onnxruntime can neither
prepack them nor use its blocked convolutions. So one step is converted flat, and the Loop is made
here by hand: its body owns the weights as initializers (docs/design.md has the measurements).
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import onnx
import tf2onnx
from onnx import TensorProto, helper

from .graph_passes import require_standard_operators, tidied
from .signatures import Signatures

OPSET = 18
BATCH = "N"

_DTYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


def onnx_graphs(signatures: Signatures, names: Iterable[str]) -> dict[str, onnx.ModelProto]:
    """The graphs of these names (of `options.GRAPHS`), each a checked model of opset 18."""
    noise = _convert(signatures.noise, "noise", ("noise",))
    step = _convert(signatures.step, "step", ("next_noisy", "images"))
    make = {
        "sampler": lambda: sampler_graph(noise, step, signatures),
        "from_noise": lambda: from_noise_graph(step, signatures),
        "denoiser": lambda: _convert(signatures.denoise, "denoiser", ("image", "noise")),
        "noise": lambda: noise,
        "step": lambda: step,
    }
    models = {name: make[name]() for name in names}
    for model in models.values():
        onnx.checker.check_model(model, full_check=True)
    return models


def from_noise_graph(step: onnx.ModelProto, signatures: Signatures) -> onnx.ModelProto:
    """noise, steps → images: the step in a Loop."""
    shape = [BATCH, *signatures.shape]
    inputs = [_tensor("noise", "float32", shape), _tensor("steps", "int64", [])]
    return _model("from_noise", inputs, _loop_nodes(step, signatures), [], signatures)


def sampler_graph(
    noise: onnx.ModelProto, step: onnx.ModelProto, signatures: Signatures
) -> onnx.ModelProto:
    """seeds, steps → images: the noise, then the step in a Loop."""
    inputs = [_tensor("seeds", "int64", [BATCH]), _tensor("steps", "int64", [])]
    # Prefixed, because tf2onnx numbers the names of every graph alike.
    start = _prefixed(noise.graph, "initial/", keep={"seeds", "noise"})
    nodes = [*start.node, *_loop_nodes(step, signatures)]
    return _model("sampler", inputs, nodes, start.initializer, signatures)


def _loop_nodes(step: onnx.ModelProto, signatures: Signatures) -> list[onnx.NodeProto]:
    """Nodes from `noise` and `steps` to `images`."""
    blank = helper.make_tensor("blank", _DTYPES[signatures.image_dtype], [1], [0])
    return [
        helper.make_node("Shape", ["noise"], ["shape"], name="shape"),
        helper.make_node("ConstantOfShape", ["shape"], ["blank_images"], name="blank", value=blank),
        helper.make_node(
            "Loop",
            ["steps", "", "noise", "blank_images"],
            ["last_noisy", "images"],
            name="loop",
            body=_loop_body(step, signatures),
        ),
    ]


def _loop_body(step: onnx.ModelProto, signatures: Signatures) -> onnx.GraphProto:
    """(iteration, condition, noisy, previous images) → (condition, next noisy, images).

    `steps` is the outer graph's. The previous images go unused: carried, not stacked, the images
    of all steps but the last are dropped at once.
    """
    body = _prefixed(step.graph, "body/", keep={"steps"})
    shape = [BATCH, *signatures.shape]
    body.node.append(
        helper.make_node("Identity", ["body/condition"], ["body/go_on"], name="body/go_on")
    )
    inputs = [
        _tensor("body/step", "int64", []),
        helper.make_tensor_value_info("body/condition", TensorProto.BOOL, []),
        _tensor("body/noisy", "float32", shape),
        _tensor("body/previous_images", signatures.image_dtype, shape),
    ]
    outputs = [
        helper.make_tensor_value_info("body/go_on", TensorProto.BOOL, []),
        _tensor("body/next_noisy", "float32", shape),
        _tensor("body/images", signatures.image_dtype, shape),
    ]
    return helper.make_graph(body.node, "body", inputs, outputs, body.initializer)


def _convert(function: Any, name: str, outputs_in_order: tuple[str, ...]) -> onnx.ModelProto:
    """Convert one flat function, its outputs in the given order."""
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    converted, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=OPSET
    )
    require_standard_operators(converted, OPSET)
    model = tidied(converted)
    inputs = [_renamed_batch(value) for value in model.graph.input]
    by_name = {value.name: _renamed_batch(value) for value in model.graph.output}
    outputs = [by_name[output] for output in outputs_in_order]
    graph = helper.make_graph(model.graph.node, name, inputs, outputs, model.graph.initializer)
    return _finished(graph)


def _prefixed(graph: onnx.GraphProto, prefix: str, *, keep: set[str]) -> onnx.GraphProto:
    """A copy of the graph with every name prefixed but those to keep; the optional "" too."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)

    def renamed(name: str) -> str:
        return name if not name or name in keep else prefix + name

    for node in copy.node:
        node.name = prefix + node.name
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for initializer in copy.initializer:
        initializer.name = renamed(initializer.name)
    return copy


def _model(
    name: str,
    inputs: list[onnx.ValueInfoProto],
    nodes: Iterable[onnx.NodeProto],
    initializers: Iterable[onnx.TensorProto],
    signatures: Signatures,
) -> onnx.ModelProto:
    images = _tensor("images", signatures.image_dtype, [BATCH, *signatures.shape])
    return _finished(helper.make_graph(list(nodes), name, inputs, [images], list(initializers)))


def _finished(graph: onnx.GraphProto) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", OPSET)]
    version = helper.find_min_ir_version_for(opsets)
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=version, producer_name="diffkiln"
    )


def _tensor(name: str, dtype: str, shape: list) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _DTYPES[dtype], shape)


def _renamed_batch(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """The same input or output with its first dimension, if it has any, named N."""
    copy = onnx.ValueInfoProto()
    copy.CopyFrom(value)
    dimensions = copy.type.tensor_type.shape.dim
    if dimensions:
        dimensions[0].dim_param = BATCH
    return copy


def set_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Set the model's metadata_props, which every runtime can read without the manifest."""
    helper.set_model_props(model, dict(metadata))
