"""The process that checks that a bundle loads on a device, and measures its network's size."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .protocol import Answer, Job, Turn, serve

if TYPE_CHECKING:
    from ..bundle.bundle import Bundle
    from .recording import Node


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Answer with the device and, for one image and step, multiply-adds and levels.

    The job's `bundle`, `device` and `threads` are as for Sampler. Raises DeviceError if the device
    is unavailable, BundleError if the bundle is damaged.
    """
    from ..sampler import Sampler

    with Sampler(job["bundle"], device=job["device"], threads=job["threads"]) as sampler:
        sampler.load("sampler")
        device = sampler.device
        nodes, evaluations = _nodes(sampler.bundle)
    count = multiply_adds(nodes) // evaluations
    return {"device": device, "multiply_adds": count, "levels": levels(nodes)}, dict


def multiply_adds(nodes: "Iterable[Node]") -> int:
    """Count the multiply-adds of convolutions and matrix products by their shapes."""
    return sum(COUNTS[node.operator](node) for node in nodes if node.operator in COUNTS)


def levels(nodes: "Iterable[Node]") -> list[tuple[int, int, int]]:
    """Return (height, width, most channels) of the convolutions of each size, the largest first."""
    channels: dict[tuple[int, int], int] = {}
    for node in nodes:
        if node.operator == "Conv" and len(node.outputs[0]) == 4:
            _, count, height, width = node.outputs[0]
            channels[height, width] = max(count, channels.get((height, width), 0))
    return [(*size, channels[size]) for size in sorted(channels, reverse=True)]


def _convolution(node: "Node") -> int:
    outputs, inputs, *kernel = node.inputs[1]
    # Means over channels, and numbers spread over them, are convolutions for the layout's sake.
    if min(outputs, inputs) == max(kernel) == 1:
        return 0
    return math.prod(node.outputs[0]) * math.prod(node.inputs[1][1:])


def _transposed_convolution(node: "Node") -> int:
    return math.prod(node.inputs[0]) * math.prod(node.inputs[1][1:])


def _matrix_product(node: "Node") -> int:
    return math.prod(node.outputs[0]) * node.inputs[0][-1]


def _general_product(node: "Node") -> int:
    # The first matrix may be transposed: the sum is over the size that is not the result's rows.
    rows = node.outputs[0][0]
    return math.prod(node.outputs[0]) * (math.prod(node.inputs[0]) // rows)


# Weights are [M, C/group, …] of a convolution, and [C, M/group, …] of a transposed one.
COUNTS = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "MatMul": _matrix_product,
    "Gemm": _general_product,
}


def _nodes(bundle: "Bundle") -> "tuple[list[Node], int]":
    """Run the network, by itself if possible; return its nodes, and the evaluations of an image."""
    from .feeds import denoiser_feeds, sampler_feeds
    from .recording import recorded

    batch, steps = bundle.unrolled_batch or 1, bundle.unrolled_steps or 1
    if "denoiser" in bundle.graphs:
        graph, feeds, evaluations = "denoiser", denoiser_feeds(bundle, batch), batch
    else:
        graph, feeds, evaluations = "sampler", sampler_feeds(bundle, batch, steps), batch * steps
    return recorded(bundle.graph(graph), feeds, as_written=True), evaluations


if __name__ == "__main__":
    serve(prepare)
