"""Every way to run a bundle on disk, each behind the same call."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tensorflow as tf

from .reference_noise import reference_noise

# Tensors by the names of a graph's inputs and outputs.
Tensors = Mapping[str, np.ndarray]
# Outputs of a graph by name, from at least its inputs.
Call = Callable[[str, Tensors], Tensors]

# What each graph is compared by.
_OUTPUTS = {
    "sampler": "images",
    "from_noise": "images",
    "denoiser": "image",
    "step": "images",
    "encode": "noise",
    "trajectory": "frames",
    "inpaint": "inpainted",
}
# What the SavedModel calls a graph, where the names differ.
_SIGNATURES = {"sampler": "serving_default", "denoiser": "denoise"}


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

    def takes(self, steps: int, batch: int) -> bool:
        """Whether it can run this number of steps on this many images."""
        return self.steps in (None, steps) and self.batch in (None, batch)


def onnx_forms(
    bundle: Path, graphs: Collection[str], description: Mapping[str, Any]
) -> Iterator[Form]:
    """The ONNX graphs of a bundle that its manifest's essentials describe."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    sessions = {
        name: onnxruntime.InferenceSession(str(bundle / f"{name}.onnx"), options, providers)
        for name in graphs
    }

    def call(name: str, tensors: Tensors) -> Tensors:
        session = sessions[name]
        outputs = [output.name for output in session.get_outputs()]
        values = session.run(outputs, {v.name: tensors[v.name] for v in session.get_inputs()})
        return dict(zip(outputs, map(np.asarray, values), strict=True))

    unrolled = description["sampler"].get("unrolled") or {}
    for name, run in _runs(call, graphs, description):
        fixed = unrolled if name in ("sampler", "from_noise") else {}
        steps = 1 if name == "denoiser" else fixed.get("steps")
        yield Form(f"{name}.onnx", name, run, steps, fixed.get("batch"))


def saved_model_forms(bundle: Path, description: Mapping[str, Any]) -> Iterator[Form]:
    """The signatures of the SavedModel."""
    signatures = tf.saved_model.load(str(bundle / "saved_model")).signatures
    graphs = [name for name in _OUTPUTS if _SIGNATURES.get(name, name) in signatures]

    def call(name: str, tensors: Tensors) -> Tensors:
        function = signatures[_SIGNATURES.get(name, name)]
        names = function.structured_input_signature[1]
        outputs = function(**{key: tf.constant(tensors[key]) for key in names})
        return {key: value.numpy() for key, value in outputs.items()}

    for name, run in _runs(call, graphs, description):
        steps = 1 if name == "denoiser" else None
        yield Form(f"saved_model {_SIGNATURES.get(name, name)}", name, run, steps)


def _runs(
    call: Call, graphs: Collection[str], description: Mapping[str, Any]
) -> Iterator[tuple[str, Callable[[Tensors], np.ndarray]]]:
    """The names of the graphs except noise, in a fixed order, with what runs each."""
    image = description["image"]
    shape = image["height"], image["width"], image["channels"]

    def with_noise(tensors: Tensors) -> Tensors:
        if "noise" in graphs:
            noise = call("noise", tensors)["noise"]
        else:
            noise = reference_noise(tensors["seeds"].tolist(), shape).astype(np.float32)
        return {**tensors, "noise": noise, "noisy": noise, "time": np.ones(len(noise), np.float32)}

    def stepwise(tensors: Tensors) -> np.ndarray:
        state = {**with_noise(tensors)}
        state["previous_image"] = np.zeros_like(state["noisy"])
        outputs: Tensors = {}
        for step in range(int(tensors["steps"])):
            outputs = call("step", {**state, "step": np.array(step)})
            state |= {name: outputs.get(f"next_{name}", value) for name, value in state.items()}
        return outputs["images"]

    def run(name: str, tensors: Tensors) -> np.ndarray:
        given = with_noise(tensors) if name in ("from_noise", "denoiser") else tensors
        return call(name, given)[_OUTPUTS[name]]

    for name in (name for name in _OUTPUTS if name in graphs):
        yield name, stepwise if name == "step" else partial(run, name)
