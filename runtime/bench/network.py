"""The process that checks that a bundle loads on a device, and measures its network's size."""

import math
from collections.abc import Callable, Iterable, Mapping

from .feeds import denoiser_feeds, sampler_feeds
from .profile import Node, recorded
from .protocol import Answer, Job, Turn

Size = tuple[int, ...]

# From the shapes of x, w and y = x · w. Weights are [M, C/group, …] of a convolution, and
# [C, M/group, …] of a transposed one. The x of a Gemm may be transposed.
COUNTS: Mapping[str, Callable[[Size, Size, Size], int]] = {
    "Conv": lambda _, w, y: math.prod(y) * math.prod(w[1:]),
    "ConvTranspose": lambda x, w, _: math.prod(x) * math.prod(w[1:]),
    "MatMul": lambda x, _, y: math.prod(y) * x[-1],
    "Gemm": lambda x, _, y: math.prod(y) * (math.prod(x) // y[0]),
}


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Answer with the device and, for one image and step, multiply-adds and levels.

    Of a cascade, they are those of the first stage. The job's `bundle`, `device` and `threads` are
    as for Sampler. Raises DeviceError if the device is unavailable, BundleError if the bundle is
    damaged.
    """
    from ..sampler import Sampler

    with Sampler(job["bundle"], device=job["device"], threads=job["threads"]) as sampler:
        sampler.load("sampler")
        device, bundle = sampler.device, sampler.bundle
        batch, steps = bundle.unrolled_batch or 1, bundle.unrolled_steps or 1
        graph, feeds = "sampler", sampler_feeds(bundle, batch, steps)
        # The network by itself, evaluated once.
        if "denoiser" in bundle.graphs or bundle.factor > 1:
            graph, feeds, steps = "denoiser", denoiser_feeds(bundle, batch), 1
        nodes = recorded(bundle.graph(graph), feeds, as_written=True)
    count = multiply_adds(nodes) // (batch * steps)
    return {"device": device, "multiply_adds": count, "levels": levels(nodes)}, dict


def multiply_adds(nodes: Iterable[Node]) -> int:
    """Count the multiply-adds of convolutions and matrix products by their shapes."""
    total = 0
    for node in nodes:
        if node.operator not in COUNTS:
            continue
        x, w, *_ = node.inputs
        # Means over channels, and numbers spread over them, are convolutions for the layout's sake.
        if node.operator != "Conv" or not min(w[:2]) == max(w[2:]) == 1:
            total += COUNTS[node.operator](x, w, node.outputs[0])
    return total


def levels(nodes: Iterable[Node]) -> list[tuple[int, int, int]]:
    """Return (height, width, most channels) of the convolutions of each size, the largest first."""
    channels: dict[tuple[int, int], int] = {}
    for node in nodes:
        if node.operator == "Conv" and len(node.outputs[0]) == 4:
            _, count, height, width = node.outputs[0]
            channels[height, width] = max(count, channels.get((height, width), 0))
    return [(*size, channels[size]) for size in sorted(channels, reverse=True)]
