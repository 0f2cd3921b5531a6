"""The process that runs a bundle's denoiser.onnx in OpenVINO, once for each step.

OpenVINO also runs sampler.onnx, for seeds below 2³¹, since it computes int64 in 32 bits. The bare
calls leave out what a Loop costs there.
"""

import importlib
import sys
from typing import Any

from ...bundle.bundle import open_bundle
from ...errors import DeviceError
from ..feeds import denoiser_feeds
from ..machine import versions
from ..protocol import Answer, Job, Turn, milliseconds


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Compile the graph in float32 and run it once; the turn calls it `steps` times."""
    if job["device"] != "cpu":
        raise DeviceError("it has no CUDA; compare on the CPU with --device=cpu")
    bundle = open_bundle(job["bundle"])
    request = infer_request(bundle.graph("denoiser").content(), job["threads"])
    feeds = denoiser_feeds(bundle, job["batch"])

    def task() -> None:
        for _ in range(job["steps"]):
            request.infer(feeds)

    task()
    about = {"versions": versions(["openvino"]), "note": "float32"}
    return about, lambda: {"ms": milliseconds(task)}


def infer_request(content: bytes, threads: int | None = None) -> Any:
    """Compile an ONNX graph for the CPU, in float32; return the object that runs it."""
    # OpenVINO's import reports itself to Google Analytics, unless this package cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType]
    core = importlib.import_module("openvino").Core()
    # The default is bfloat16 if the processor has it.
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    return core.compile_model(core.read_model(content), "CPU", settings).create_infer_request()
