"""Every way to run a bundle on disk, each behind the same call."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..graphs.graph import Call, Tensors, runner, step_outputs
from ..litert.interpreter import litert_runner
from .reference_codec import shape_of
from .reference_noise import reference_noise
from .truth import NETWORK_TIME

# What each graph is compared by: of images, or else of arrays.
_OUTPUTS = {
    "sampler": ("images", "samples"),
    "from_noise": ("images", "samples"),
    "denoiser": ("image", "sample"),
    "step": ("images", "samples", "latents"),
    "encode": ("noise",),
    "trajectory": ("frames",),
    "inpaint": ("inpainted",),
    "edit": ("edited",),
    "decoder": ("images",),
    "encoder": ("latents",),
    "upscaler": ("images",),
}
# What the SavedModel calls a graph, where the names differ.
_SIGNATURES = {
    "sampler": "serving_default",
    "denoiser": "denoise",
    "decoder": "decode",
    "encoder": "encode_latents",
    "upscaler": "upscale",
}


@dataclass(frozen=True)
class Form:
    """One way to run one graph of a bundle.

    `run` takes tensors by the names of the graphs' inputs, with seeds int64 [N] and steps int64 []
    among them, and returns the graph's pictures or noise. `steps` and `batch` are the only numbers
    that it takes, None for any.
    """

    name: str
    graph: str
    run: Callable[[Tensors], np.ndarray]
    steps: int | None = None
    batch: int | None = None


def onnx_forms(
    bundle: Path, graphs: Collection[str], description: Mapping[str, Any]
) -> Iterator[Form]:
    """The ONNX graphs of a bundle that its manifest's essentials describe."""
    calls = {name: runner(str(bundle / f"{name}.onnx")) for name in graphs}
    unrolled = description["sampler"].get("unrolled") or {}
    for name, run in _runs(calls, description):
        fixed = unrolled if name in ("sampler", "from_noise") else {}
        steps = 1 if name == "denoiser" else fixed.get("steps")
        yield Form(f"{name}.onnx", name, run, steps, fixed.get("batch"))


def litert_forms(
    bundle: Path, graphs: Collection[str], description: Mapping[str, Any]
) -> Iterator[Form]:
    """The LiteRT files, as many of these graphs have one."""
    files = {name: bundle / f"{name}.tflite" for name in graphs}
    calls = {name: litert_runner(file) for name, file in files.items() if file.is_file()}
    for name, run in _runs(calls, description):
        yield Form(f"{name}.tflite", name, run, 1 if name == "denoiser" else None)


def saved_model_forms(bundle: Path, description: Mapping[str, Any]) -> Iterator[Form]:
    """The signatures of the SavedModel."""
    signatures = tf.saved_model.load(str(bundle / "saved_model")).signatures

    def call(function: Any, tensors: Tensors) -> Tensors:
        names = function.structured_input_signature[1]
        outputs = function(**{name: tf.constant(tensors[name]) for name in names})
        return {name: value.numpy() for name, value in outputs.items()}

    names = {name: _SIGNATURES.get(name, name) for name in _OUTPUTS}
    calls = {n: partial(call, signatures[key]) for n, key in names.items() if key in signatures}
    for name, run in _runs(calls, description):
        yield Form(f"saved_model {names[name]}", name, run, 1 if name == "denoiser" else None)


def _runs(
    calls: Mapping[str, Call], description: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[Tensors], np.ndarray]]]:
    """The names of the graphs except noise, in a fixed order, with what runs each."""
    shape = shape_of(description)

    def with_noise(tensors: Tensors) -> Tensors:
        if "noise" in calls:
            noise = calls["noise"](tensors)["noise"]
        else:
            noise = reference_noise(tensors["seeds"].tolist(), shape).astype(np.float32)
        one = np.ones(len(noise), np.float32)
        times = {"time": one, "network_time": NETWORK_TIME * one}
        return {**tensors, "noise": noise, "noisy": noise, **times}

    def run(name: str, tensors: Tensors) -> np.ndarray:
        if name in ("from_noise", "denoiser", "step"):
            tensors = with_noise(tensors)
        if name == "step":
            *_, outputs = step_outputs(calls[name], tensors)
            # What follows the last step, as a host does it.
            outputs = calls["decoder"](outputs) if "latents" in outputs else outputs
            if "low_resolution" in outputs:
                outputs = calls["upscaler"]({**tensors, **outputs})
        else:
            outputs = calls[name](tensors)
        return next(outputs[output] for output in _OUTPUTS[name] if output in outputs)

    for name in (name for name in _OUTPUTS if name in calls):
        yield name, partial(run, name)
