"""Every way to get pictures out of a bundle that lies on disk, each behind the same call."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import tensorflow as tf

from .reference import reference_noise

# Pictures from seeds int64 [N] and a number of steps: uint8, or floats in [0, 1].
Form = Callable[[np.ndarray, int], np.ndarray]
# All outputs by name, of a graph by name, from its inputs by name.
Call = Callable[..., dict[str, np.ndarray]]

_SIGNATURES = {"sampler": "serving_default", "from_noise": "from_noise", "denoiser": "denoise"}


def onnx_forms(
    bundle: Path, graphs: Sequence[str], shape: tuple[int, int, int], to_pixels: Callable
) -> dict[str, Form]:
    """The ONNX graphs that lead to pictures, by file name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions = {
        name: onnxruntime.InferenceSession(
            str(bundle / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
        )
        for name in graphs
    }

    def call(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        outputs = [output.name for output in sessions[name].get_outputs()]
        values = sessions[name].run(outputs, inputs)
        return dict(zip(outputs, map(np.asarray, values), strict=True))

    forms = _forms(call, graphs, shape, to_pixels)
    return {f"{name}.onnx": form for name, form in forms.items()}


def saved_model_forms(
    bundle: Path, shape: tuple[int, int, int], to_pixels: Callable
) -> dict[str, Form]:
    """The signatures of the SavedModel, by name."""
    loaded = tf.saved_model.load(str(bundle / "saved_model"))

    def call(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        outputs = loaded.signatures[_SIGNATURES[name]](**tensors)
        return {key: value.numpy() for key, value in outputs.items()}

    forms = _forms(call, tuple(_SIGNATURES), shape, to_pixels)
    return {f"saved_model {_SIGNATURES[name]}": form for name, form in forms.items()}


def _forms(
    call: Call, graphs: Sequence[str], shape: tuple[int, int, int], to_pixels: Callable
) -> dict[str, Form]:
    """The graphs that lead to pictures; the denoiser does so for one step only."""

    def noise(seeds: np.ndarray) -> np.ndarray:
        if "noise" in graphs:
            return call("noise", seeds=seeds)["noise"]
        return reference_noise(seeds.tolist(), shape).astype(np.float32)

    def sampler(seeds: np.ndarray, steps: int) -> np.ndarray:
        return call("sampler", seeds=seeds, steps=np.array(steps))["images"]

    def from_noise(seeds: np.ndarray, steps: int) -> np.ndarray:
        return call("from_noise", noise=noise(seeds), steps=np.array(steps))["images"]

    def denoiser(seeds: np.ndarray, _: int) -> np.ndarray:
        time = np.ones(len(seeds), np.float32)
        return to_pixels(call("denoiser", noisy=noise(seeds), time=time)["image"])

    def step(seeds: np.ndarray, steps: int) -> np.ndarray:
        state = {"next_noisy": noise(seeds)}
        for index in range(steps):
            scalars = {"step": np.array(index), "steps": np.array(steps)}
            state = call("step", **scalars, noisy=state["next_noisy"])
        return state["images"]

    ways = {"sampler": sampler, "from_noise": from_noise, "denoiser": denoiser, "step": step}
    return {name: form for name, form in ways.items() if name in graphs}
