"""The same work in OpenVINO and in diffusers, for `baking.py`, if they are installed.

pip install '.[bench]'
"""

import importlib.util
from collections.abc import Sequence

import numpy as np
import onnx
from measuring import Task

from diffkiln.runtime.bench.compare.diffusers import Shape, multiply_adds, sampling
from diffkiln.runtime.bench.compare.openvino import infer_request


def is_installed(*packages: str) -> bool:
    """Whether all packages can be imported."""
    return all(importlib.util.find_spec(package) for package in packages)


def openvino_task(denoiser: onnx.ModelProto, feeds: dict[str, np.ndarray], calls: int) -> Task:
    """Run a flat denoiser graph `calls` times."""
    request = infer_request(denoiser.SerializeToString())
    inputs = {value.name: feeds[value.name] for value in denoiser.graph.input}
    return lambda: [request.infer(inputs) for _ in range(calls)]


def diffusers_task(
    widths: Sequence[int], shape: tuple[int, ...], patch: int, blocks: int, steps: int
) -> tuple[Task, int]:
    """Run the DDIM pipeline of a U-Net; return the task, and its multiply-adds for an image.

    `shape` is [N, H, W, C]. Like our network, this one takes the images in patches.
    """
    batch, height, width, channels = shape
    network = Shape(height // patch, width // patch, channels, patch, tuple(widths), blocks)
    return sampling(network, batch=batch, steps=steps), multiply_adds(network)
