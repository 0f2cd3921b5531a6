"""The process that runs a bundle's denoiser.onnx in OpenVINO, as often as there are steps.

Not sampler.onnx: OpenVINO computes int64 in 32 bits, which spoils the random numbers.
"""

import importlib
from typing import Any

import numpy as np

from ...bundle.bundle import open_bundle
from ...engine.conditioning import unguided
from ...errors import DeviceError
from ..machine import versions
from ..protocol import Answer, Job, Turn, milliseconds, serve


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Compile the graph in float32 and run it once; the turn calls it `steps` times."""
    if job["device"] != "cpu":
        raise DeviceError("it has no CUDA; compare on the CPU with --device=cpu")
    bundle, batch, steps = open_bundle(job["bundle"]), job["batch"], job["steps"]
    request = infer_request(bundle.graph("denoiser").content(), job["threads"])
    noisy = np.random.default_rng(0).standard_normal((batch, *bundle.image_shape))
    feeds = {"noisy": noisy.astype(np.float32), "time": np.full(batch, 0.5, np.float32)}
    feeds |= unguided(bundle, batch)

    def task() -> None:
        for _ in range(steps):
            request.infer(feeds)

    task()
    about = {"versions": versions(["openvino"]), "note": "float32"}
    return about, lambda: {"ms": milliseconds(task)}


def infer_request(content: bytes, threads: int | None = None) -> Any:
    """Compile an ONNX graph for the CPU, in float32; what infers with it."""
    core = importlib.import_module("openvino").Core()
    # Its default is bfloat16 where the processor has it.
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    return core.compile_model(core.read_model(content), "CPU", settings).create_infer_request()


if __name__ == "__main__":
    serve(prepare)
