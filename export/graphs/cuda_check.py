"""What onnxruntime would run on the CPU in each step, for want of a CUDA kernel for its type.

Kernels may still refuse some attributes, which only a GPU can tell.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper, shape_inference

from ...runtime.device.placement import NOISE_SCOPE
from .cuda_kernels import HOST_INPUTS, HOST_OUTPUTS, KERNELS
from .graph import graphs_of


@dataclass(frozen=True)
class Fallback:
    """A node that has no CUDA kernel, and what that costs in each step.

    `image_sized`: it takes or gives a tensor with at least as many numbers as an image has pixels.
    `copies`: its tensors are copied between GPU and CPU.
    """

    node: str
    operator: str
    dtype: str
    image_sized: bool
    copies: bool

    def __str__(self) -> str:
        size = "image-sized" if self.image_sized else "small"
        cost = "copied in each step" if self.copies else "not copied"
        return f"{self.node} ({self.operator}, {self.dtype}), {size}, {cost}"


@dataclass(frozen=True)
class CudaCheck:
    """What runs on the CPU in each step: nodes of the model, and how many nodes of the noise.

    The noise uses bitwise operators, which have no CUDA kernels.
    """

    fallbacks: tuple[Fallback, ...]
    noise_nodes: int


def check_cuda(model: onnx.ModelProto, pixels: int) -> CudaCheck:
    """Check the nodes of each step: those in the Loop's body, or all where there is no Loop.

    `pixels` is height × width of an image.
    """
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    _, *bodies = graphs_of(graph)
    everything = [fallback for body in bodies or [graph] for fallback in _of_graph(body, pixels)]
    fallbacks = tuple(fallback for fallback in everything if NOISE_SCOPE not in fallback.node)
    return CudaCheck(fallbacks, len(everything) - len(fallbacks))


def _of_graph(graph: onnx.GraphProto, pixels: int) -> Iterator[Fallback]:
    values = {v.name: v.type.tensor_type for v in (*graph.input, *graph.value_info, *graph.output)}
    for value in graph.initializer:
        typed = helper.make_tensor_type_proto(value.data_type, value.dims)
        values[value.name] = typed.tensor_type
    on_gpu, wanted_there = _on_gpu(graph, values)
    for node in (node for node in graph.node if not _has_kernel(node, values)):
        tensors = [values[name] for name in (*node.input, *node.output) if name in values]
        yield Fallback(
            node.name,
            node.op_type,
            _dtype(node, values),
            image_sized=any(_numbers(tensor) >= pixels for tensor in tensors),
            copies=not on_gpu.isdisjoint(node.input) or not wanted_there.isdisjoint(node.output),
        )


def _on_gpu(
    graph: onnx.GraphProto, values: Mapping[str, onnx.TypeProto.Tensor]
) -> tuple[set[str], set[str]]:
    """The tensors in the GPU's memory: those written there, and those read there.

    The images that are carried are in both sets; the rest is what kernels write and read.
    """
    written = {value.name for value in graph.input if value.type.tensor_type.shape.dim}
    read = {value.name for value in graph.output}
    for node in (node for node in graph.node if _has_kernel(node, values)):
        on_host = HOST_INPUTS.get(node.op_type, frozenset())
        read |= {name for place, name in enumerate(node.input) if place not in on_host}
        written |= set() if node.op_type in HOST_OUTPUTS else set(node.output)
    return written, read


def _has_kernel(node: onnx.NodeProto, values: Mapping[str, onnx.TypeProto.Tensor]) -> bool:
    return _dtype(node, values) in KERNELS.get(node.op_type, ())


def _dtype(node: onnx.NodeProto, values: Mapping[str, onnx.TypeProto.Tensor]) -> str:
    """The type of a node's data, in ONNX's name."""
    name = node.input[1 if node.op_type == "Where" else 0] if node.input else node.output[0]
    # A tensor of the outer graph, of which a body reads only the steps and the seeds.
    dtype = values[name].elem_type if name in values else TensorProto.INT64
    return TensorProto.DataType.Name(dtype).lower()


def _numbers(tensor: onnx.TypeProto.Tensor) -> float:
    """How many numbers of a tensor belong to one image; infinity if that is not known."""
    sizes = [size.dim_value for size in tensor.shape.dim if not size.dim_param]
    return math.inf if 0 in sizes else math.prod(sizes)
