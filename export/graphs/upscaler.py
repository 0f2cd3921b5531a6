"""The second stage of a cascade: a super-resolution bundle's sampler that begins with float pixels.

The graph is cut out of the file, so that it keeps what made it fast there. Its noise, steps and
guidance become constants or come from elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from ..baking.noise import UPSCALING_STREAM, gaussian_noise
from ..baking.parts import SEEDS
from ..baking.process import Tensors, traced
from ..baking.upscaling import LEVELS, SMALL, Augmentation
from .conversion import convert
from .graph import BATCH, finished, graphs_of, parts, value_info

_NOISE = "large_noise"
_BEGINS = {name: name for name in (SMALL, "seeds", LEVELS, _NOISE)}


def upscaler_graph(
    sampler: onnx.ModelProto,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    shared: Sequence[tf.TensorSpec],
    fixed: Mapping[str, np.ndarray],
    augmentation: Augmentation,
) -> onnx.ModelProto:
    """low_resolution float32 [N, h, w, C] in [0, 1], seeds, what is shared → images.

    `sampler` has a Loop and draws no fresh noise. `shapes` are those of small and large pictures.
    `fixed` are the values of its single numbers, and for one picture of other inputs.
    """
    (loop,) = (node for node in sampler.graph.node if node.op_type == "Loop")
    small, large = shapes
    specs = [tf.TensorSpec([None, *small], tf.float32, SMALL), SEEDS, *shared]
    begin = parts(convert(_begin(specs[:2], large, augmentation)), "begin/", _BEGINS)
    # What a Loop carries begins with the noise.
    kept = ["images", *(str(spec.name) for spec in specs[1:])]
    names = {SMALL: LEVELS, loop.input[2]: _NOISE, **{name: name for name in kept}}
    graph = parts(sampler, "stage/", names)
    for node in graph.node:
        node.output[:] = ["" if name == _NOISE else name for name in node.output]
    _forget_pixels(graph)
    given = _fixed(sampler, fixed)
    nodes = [*begin.node, *given.node, *graph.node]
    constants = [*begin.initializer, *given.initializer, *graph.initializer]
    inputs, outputs = [value_info(spec) for spec in specs], [sampler.graph.output[0]]
    return finished(helper.make_graph(nodes, "upscaler", inputs, outputs, constants))


def with_float_pixels(denoiser: onnx.ModelProto) -> onnx.ModelProto:
    """A super-resolution network's denoiser whose small picture has float32 levels, 0 to 255."""
    model = onnx.ModelProto.FromString(denoiser.SerializeToString())
    (value,) = (value for value in model.graph.input if value.name == SMALL)
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    _forget_pixels(model.graph)
    return model


def _begin(
    specs: Sequence[tf.TensorSpec], shape: tuple[int, ...], augmentation: Augmentation
) -> Any:
    """low_resolution, seeds → the levels of the small picture, and the noise of the large one."""

    def begin(pixels: tf.Tensor, seeds: tf.Tensor) -> Tensors:
        stream = tf.constant(UPSCALING_STREAM, tf.int64)
        noise = gaussian_noise(seeds, shape, stream=stream)
        return {LEVELS: augmentation.levels(pixels, seeds), _NOISE: noise}

    return traced(begin, specs)


def _forget_pixels(graph: onnx.GraphProto) -> None:
    """Drop declarations of uint8 tensors, which are float32 now: ONNX infers them again."""
    for each in graphs_of(graph):
        others = [
            value
            for value in each.value_info
            if value.type.tensor_type.elem_type != TensorProto.UINT8
        ]
        del each.value_info[:]
        each.value_info.extend(others)


def _fixed(sampler: onnx.ModelProto, fixed: Mapping[str, np.ndarray]) -> onnx.GraphProto:
    """Nodes and constants for the inputs that nobody gives, as `stage/NAME`."""
    graph = onnx.GraphProto()
    graph.node.append(helper.make_node("Shape", ["seeds"], ["count"], "count"))
    for value in sampler.graph.input:
        if value.name not in fixed:
            continue
        dims, name = value.type.tensor_type.shape.dim, f"stage/{value.name}"
        array = fixed[value.name]
        if not dims or dims[0].dim_param != BATCH:  # steps and guidance, which may be lists of one
            array = array.reshape([dim.dim_value for dim in dims])
            graph.initializer.append(numpy_helper.from_array(array, name))
            continue
        one, sizes = f"{name}/one", f"{name}/sizes"
        graph.initializer.append(numpy_helper.from_array(array[None], one))
        graph.initializer.append(numpy_helper.from_array(np.array(array.shape, np.int64), sizes))
        graph.node.append(helper.make_node("Concat", ["count", sizes], [f"{name}/s"], name, axis=0))
        graph.node.append(helper.make_node("Expand", [one, f"{name}/s"], [name], f"{name}/rows"))
    return graph
