"""The same work in OpenVINO and in diffusers, for `baking.py`, where they are installed.

pip install '.[bench]'
"""

import importlib.util
from collections.abc import Callable, Sequence

import numpy as np
import onnx

from diffkiln.runtime.bench.compare.diffusers import Shape, multiply_adds, sampling
from diffkiln.runtime.bench.compare.openvino import infer_request

Task = Callable[[], object]


def is_installed(*packages: str) -> bool:
    """Whether all of these can be imported."""
    return all(importlib.util.find_spec(package) for package in packages)


def openvino_task(denoiser: onnx.ModelProto, feeds: dict[str, np.ndarray], calls: int) -> Task:
    """Run a flat denoiser graph `calls` times."""
    request = infer_request(denoiser.SerializeToString())
    given = {value.name: feeds[value.name] for value in denoiser.graph.input}
    return lambda: [request.infer(given) for _ in range(calls)]


def diffusers_task(
    widths: Sequence[int], shape: tuple[int, ...], patch: int, blocks: int, steps: int
) -> tuple[Task, int]:
    """The DDIM pipeline of a U-Net of these widths and as many blocks; its multiply-adds per image.

    `shape` is [N, H, W, C]. It gets the images in patches, as ours makes them.
    """
    batch, height, width, channels = shape
    network = Shape(height // patch, width // patch, channels, patch, tuple(widths), blocks)
    return sampling(network, batch=batch, steps=steps), multiply_adds(network)
