"""Every way to run a bundle that lies on disk, each behind the same call."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tensorflow as tf

from .reference_noise import reference_noise

# Outputs by name of a graph by name, from inputs by name.
Call = Callable[..., Mapping[str, np.ndarray]]

EVERY = 7


@dataclass(frozen=True)
class Case:
    """What a bundle is run on: seeds int64 [N], a number of steps, and photographs to work on.

    `photographs` are of the bundle's image dtype; `mask` is uint8 [N, H, W, 1]. `labels` int64 [N]
    and `guidance` go to models of classes alone.
    """

    seeds: np.ndarray
    steps: int
    photographs: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    guidance: float

    @property
    def wished(self) -> dict[str, np.ndarray]:
        """Labels and guidance as graphs take them."""
        return {"labels": self.labels, "guidance": np.array(self.guidance, np.float32)}


@dataclass(frozen=True)
class Form:
    """One way to run a bundle.

    `kind` says what comes out: images, frames, inpainted, encoded, or the x̂_0 of `denoised`.
    `steps` and `batch` are the only numbers it takes, None where any will do.
    """

    name: str
    kind: str
    run: Callable[[Case], np.ndarray]
    steps: int | None = None
    batch: int | None = None

    def takes(self, case: Case) -> bool:
        """Whether it can run on this case."""
        return self.steps in (None, case.steps) and self.batch in (None, len(case.seeds))


def onnx_forms(bundle: Path, graphs: Sequence[str], known: Mapping[str, Any]) -> Iterator[Form]:
    """The ONNX graphs, of a bundle that its manifest's essentials describe."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    sessions = {
        name: onnxruntime.InferenceSession(
            str(bundle / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]
        )
        for name in graphs
    }

    def call(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        session = sessions[name]
        outputs = [output.name for output in session.get_outputs()]
        feeds = {value.name: inputs[value.name] for value in session.get_inputs()}
        values = session.run(outputs, feeds)
        return dict(zip(outputs, map(np.asarray, values), strict=True))

    unrolled = known["sampler"].get("unrolled") or {}
    for form in _forms(call, graphs, known):
        fixed = unrolled if form.name in ("sampler", "from_noise") else {}
        name = f"{form.name}.onnx"
        yield Form(name, form.kind, form.run, form.steps or fixed.get("steps"), fixed.get("batch"))


def saved_model_forms(bundle: Path, known: Mapping[str, Any]) -> Iterator[Form]:
    """The signatures of the SavedModel."""
    loaded = tf.saved_model.load(str(bundle / "saved_model"))
    names = {SIGNATURES.get(name, name): name for name in ("sampler", "denoiser")}
    graphs = [names.get(str(signature), str(signature)) for signature in loaded.signatures]

    def call(name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        function = loaded.signatures[SIGNATURES.get(name, name)]
        wanted = function.structured_input_signature[1]
        outputs = function(**{key: tf.constant(inputs[key]) for key in wanted})
        return {key: value.numpy() for key, value in outputs.items()}

    for form in _forms(call, graphs, known):
        name = f"saved_model {SIGNATURES.get(form.name, form.name)}"
        yield Form(name, form.kind, form.run, form.steps)


# What the SavedModel calls a graph, where the names differ.
SIGNATURES = {"sampler": "serving_default", "denoiser": "denoise"}


def _forms(call: Call, graphs: Sequence[str], known: Mapping[str, Any]) -> Iterator[Form]:
    image = known["image"]
    shape = (image["height"], image["width"], image["channels"])

    def noise(case: Case) -> np.ndarray:
        if "noise" in graphs:
            return call("noise", seeds=case.seeds)["noise"]
        return reference_noise(case.seeds.tolist(), shape).astype(np.float32)

    def whole(name: str, output: str) -> Callable[[Case], np.ndarray]:
        def run(case: Case) -> np.ndarray:
            return call(
                name,
                seeds=case.seeds,
                steps=np.array(case.steps),
                every=np.array(EVERY),
                images=case.photographs,
                mask=case.mask,
                **case.wished,
                **({"noise": noise(case)} if name == "from_noise" else {}),
            )[output]

        return run

    def denoised(case: Case) -> np.ndarray:
        time = np.ones(len(case.seeds), np.float32)
        return call("denoiser", noisy=noise(case), time=time, **case.wished)["image"]

    def stepwise(case: Case) -> np.ndarray:
        first = noise(case)
        state = {"noisy": first, "previous_image": np.zeros_like(first), "seeds": case.seeds}
        state |= case.wished
        made: Mapping[str, np.ndarray] = {}
        for step in range(case.steps):
            made = call("step", step=np.array(step), steps=np.array(case.steps), **state)
            state |= {name: made.get(f"next_{name}", state[name]) for name in state}
        return made["images"]

    forms = (
        Form("sampler", "images", whole("sampler", "images")),
        Form("from_noise", "images", whole("from_noise", "images")),
        Form("denoiser", "denoised", denoised, steps=1),
        Form("step", "images", stepwise),
        Form("encode", "encoded", whole("encode", "noise")),
        Form("trajectory", "frames", whole("trajectory", "frames")),
        Form("inpaint", "inpainted", whole("inpaint", "inpainted")),
    )
    return (form for form in forms if form.name in graphs)
