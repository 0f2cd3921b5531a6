"""The hosts of the gallery: each draws the same pictures with its example's own program."""

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from example_programs import (
    BROWSERS,
    EXAMPLES,
    MissingProgramError,
    built_page,
    cpp_program,
    csharp_program,
    litert_python,
    node,
    npm,
    program,
    start,
    use_page,
)
from numpy.typing import NDArray
from PIL import Image

from diffkiln.runtime import Sampler, open_bundle
from diffkiln.runtime.device.device import OPENVINO_PROVIDER
from diffkiln.runtime.output.images import GAP, grid_shape

# What the examples in Python draw, in the bundle's own steps; the other examples take arguments.
SEEDS = range(8)
REFERENCE = "sampler"

_FIRST, _COUNT = str(SEEDS.start), str(len(SEEDS))

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Host:
    """A program that draws pictures with the files `runs` of a bundle.

    `draw` takes the bundle's folder and an empty folder, and returns the pictures, uint8
    [8, H, W, 3], one for each seed. `example` is its folder. An optional host may be missing.
    """

    title: str
    runs: str
    version: Callable[[], str]
    draw: Callable[[Path, Path], Pictures]
    example: str | None = None
    optional: bool = False


def _draw_with_sampler(bundle: Path, _: Path) -> Pictures:
    with Sampler(bundle, device="cpu") as sampler:
        return sampler.sample(len(SEEDS), seed=SEEDS.start)


def _draw_with_onnxruntime(bundle: Path, folder: Path) -> Pictures:
    return _draw_in_python("onnxruntime", bundle / "sampler.onnx", folder)


def _draw_with_tensorflow(bundle: Path, folder: Path) -> Pictures:
    return _draw_in_python("savedmodel", bundle / "saved_model", folder)


def _draw_in_python(example: str, model: Path, folder: Path) -> Pictures:
    picture = folder / "flowers.png"
    start([sys.executable, EXAMPLES / example / "sample.py", model, picture])
    return np.stack(np.split(_pixels(picture), len(SEEDS), axis=1))


def _draw_in_cpp(bundle: Path, folder: Path) -> Pictures:
    picture = folder / "flowers.ppm"
    start([cpp_program(), bundle, picture, _FIRST, _COUNT])
    return np.stack(np.split(_pixels(picture), len(SEEDS)))


def _draw_in_csharp(bundle: Path, folder: Path) -> Pictures:
    picture = folder / "flowers.bmp"
    start([*csharp_program(), bundle, picture, _FIRST, _COUNT])
    return np.stack(np.split(_pixels(picture), len(SEEDS)))


def _draw_in_node(bundle: Path, folder: Path) -> Pictures:
    npm("node", "run", "sample", "--", str(bundle), _FIRST, _COUNT, _steps(bundle), str(folder))
    return np.stack([_pixels(folder / f"{seed}.png") for seed in SEEDS])


def _draw_on_the_page(bundle: Path, folder: Path) -> Pictures:
    picture = folder / "pictures.png"
    numbers = {"WEB_SEED": _FIRST, "WEB_COUNT": _COUNT, "WEB_STEPS": _steps(bundle)}
    use_page(built_page(), "draw", WEB_BUNDLE=str(bundle), WEB_PICTURE=str(picture), **numbers)
    return _cut(_pixels(picture))


def _draw_with_openvino(bundle: Path, folder: Path) -> Pictures:
    file = folder / "flowers.npz"
    command = [openvino_python(), "-m", "diffkiln.runtime", "--device=openvino"]
    numbers = [f"--seed={_FIRST}", f"--count={_COUNT}"]
    start([*command, f"--bundle={bundle}", *numbers, f"--out={file}"])
    with np.load(file) as arrays:
        return arrays["images"]


def _draw_with_litert(bundle: Path, folder: Path) -> Pictures:
    picture = folder / "flowers.ppm"
    start([litert_python(), EXAMPLES / "litert/sample.py", bundle / "sampler.tflite", picture])
    return np.stack(np.split(_pixels(picture), len(SEEDS), axis=1))


def _litert_version() -> str:
    asked = "from importlib.metadata import version; print(version('ai-edge-litert'))"
    return f"ai-edge-litert {start([litert_python(), '-c', asked]).strip()}"


def _steps(bundle: Path) -> str:
    return str(open_bundle(bundle).default_steps)


def openvino_python() -> str:
    """A Python whose onnxruntime has OpenVINO: this one, or the one that the tests use."""
    if OPENVINO_PROVIDER in onnxruntime.get_available_providers():
        return sys.executable
    python = os.environ.get("DIFFKILN_OPENVINO_PYTHON")
    if not python:
        raise MissingProgramError(
            "this onnxruntime has no OpenVINO; set DIFFKILN_OPENVINO_PYTHON to a Python with "
            "diffkiln and onnxruntime-openvino"
        )
    return python


def _openvino_version() -> str:
    asked = "from importlib.metadata import version; print(version('onnxruntime-openvino'))"
    return f"onnxruntime-openvino {start([openvino_python(), '-c', asked]).strip()}"


def _chromium_version() -> str:
    """Return the number alone: distributions print more, and anything on stderr."""
    number = re.search(r"\b\d+(\.\d+)+\b", start([program(*BROWSERS), "--version"]))
    return f"Chromium {number[0] if number else 'of unknown version'}"


def _node_package(example: str, name: str) -> str:
    installed = EXAMPLES / example / "node_modules" / name / "package.json"
    return f"{name} {json.loads(installed.read_text())['version']}"


def _pixels(file: Path) -> Pictures:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def _cut(grid: Pictures) -> Pictures:
    """Cut a grid that the page saved into the picture of each seed."""
    rows, columns = grid_shape(len(SEEDS))
    padded = np.pad(grid, ((0, GAP), (0, GAP), (0, 0)))
    height, width = padded.shape[0] // rows, padded.shape[1] // columns
    cells = padded.reshape(rows, height, columns, width, 3).swapaxes(1, 2)
    return cells.reshape(-1, height, width, 3)[: len(SEEDS), :-GAP, :-GAP]


def _python_package(name: str) -> str:
    return f"{name} {version(name)}"


# In the order of the page; all are compared with the first, REFERENCE.
HOSTS = {
    "sampler": Host(
        "diffkiln's Sampler",
        "sampler.onnx",
        lambda: _python_package("onnxruntime"),
        _draw_with_sampler,
    ),
    "onnxruntime": Host(
        "plain onnxruntime",
        "sampler.onnx",
        lambda: _python_package("onnxruntime"),
        _draw_with_onnxruntime,
        example="onnxruntime",
    ),
    "node": Host(
        "Node.js",
        "sampler.onnx",
        lambda: (
            f"Node.js {start([node(), '--version']).strip()}, "
            + _node_package("node", "onnxruntime-node")
        ),
        _draw_in_node,
        example="node",
    ),
    "csharp": Host(
        "C#",
        "sampler.onnx",
        lambda: f".NET {start([program('dotnet'), '--version']).strip()}",
        _draw_in_csharp,
        example="csharp",
        optional=True,
    ),
    "web": Host(
        "web page, WebAssembly",
        "noise.onnx, step.onnx",
        lambda: f"{_chromium_version()}, " + _node_package("web", "onnxruntime-web"),
        _draw_on_the_page,
        example="web",
    ),
    "openvino": Host(
        "OpenVINO",
        "noise.onnx, step.onnx",
        _openvino_version,
        _draw_with_openvino,
        optional=True,
    ),
    "savedmodel": Host(
        "TensorFlow",
        "saved_model",
        lambda: _python_package("tensorflow"),
        _draw_with_tensorflow,
        example="savedmodel",
    ),
    "litert": Host(
        "LiteRT",
        "sampler.tflite",
        _litert_version,
        _draw_with_litert,
        example="litert",
    ),
    "cpp": Host(
        "C++, TensorFlow's C API",
        "saved_model",
        lambda: _python_package("tensorflow"),
        _draw_in_cpp,
        example="cpp",
    ),
}
