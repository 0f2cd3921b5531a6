"""The process that looks at a bundle first: does it load on the device, and what is its network?"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .protocol import Answer, Job, Turn, serve

if TYPE_CHECKING:
    from ..bundle.bundle import Bundle
    from .recording import Node


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Answer with the device and, for one image and step, multiply-adds and levels.

    The job's `bundle`, `device` and `threads` are as for Sampler. DeviceError if it does not get
    the device, BundleError if the bundle is damaged.
    """
    from ..sampler import Sampler

    with Sampler(job["bundle"], device=job["device"], threads=job["threads"]) as sampler:
        sampler.load("sampler")
        nodes, evaluations = _nodes(sampler.bundle)
        device = sampler.device
    about = {
        "device": device,
        "multiply_adds": multiply_adds(nodes) // evaluations,
        "levels": levels(nodes),
    }
    return about, dict


def multiply_adds(nodes: "Iterable[Node]") -> int:
    """Multiply-adds of convolutions and matrix products, as their shapes tell."""
    return sum(COUNTS[node.operator](node) for node in nodes if node.operator in COUNTS)


def levels(nodes: "Iterable[Node]") -> list[tuple[int, int, int]]:
    """Height, width and most channels of the convolutions at each size, the largest size first."""
    channels: dict[tuple[int, int], int] = {}
    for node in nodes:
        if node.operator == "Conv" and len(node.outputs[0]) == 4:
            _, count, height, width = node.outputs[0]
            channels[height, width] = max(count, channels.get((height, width), 0))
    return [(*size, channels[size]) for size in sorted(channels, reverse=True)]


def _convolution(node: "Node") -> int:
    made, taken, *kernel = node.inputs[1]
    # Means over channels, and numbers spread over them, are convolutions for the layout's sake.
    if min(made, taken) == max(kernel) == 1:
        return 0
    return math.prod(node.outputs[0]) * math.prod(node.inputs[1][1:])


def _transposed_convolution(node: "Node") -> int:
    return math.prod(node.inputs[0]) * math.prod(node.inputs[1][1:])


def _matrix_product(node: "Node") -> int:
    return math.prod(node.outputs[0]) * node.inputs[0][-1]


def _general_product(node: "Node") -> int:
    # The first matrix may be transposed: what is not a row of the result is summed over.
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
    """Run the network, best by itself; the nodes, and how many evaluations of an image they are."""
    import numpy as np

    from ..engine.conditioning import unguided
    from .recording import recorded

    batch = bundle.unrolled_batch or 1
    if "denoiser" in bundle.graphs:
        noisy = np.zeros((batch, *bundle.image_shape), np.float32)
        feeds: dict[str, Any] = {"noisy": noisy, "time": np.full(batch, 0.5, np.float32)}
        feeds |= unguided(bundle, batch)
        return recorded(bundle.graphs["denoiser"], feeds, as_written=True), batch
    steps = bundle.unrolled_steps or 1
    feeds = {"seeds": np.arange(batch), "steps": np.array(steps), **unguided(bundle, batch)}
    return recorded(bundle.graphs["sampler"], feeds, as_written=True), batch * steps


if __name__ == "__main__":
    serve(prepare)
