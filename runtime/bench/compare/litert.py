"""The process that samples from a bundle's sampler.tflite in LiteRT."""

import importlib
import os
from typing import Any

import numpy as np

from ...bundle.bundle import open_bundle
from ...device.resources import default_threads
from ...engine.conditioning import unguided
from ...errors import BundleError, DeviceError
from ..machine import versions
from ..protocol import Answer, Job, Turn, milliseconds


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Load the file and sample once to warm up; the turn samples again."""
    if job["device"] != "cpu":
        raise DeviceError("it has no CUDA; compare on the CPU with --device=cpu")
    bundle = open_bundle(job["bundle"])
    if "sampler" not in bundle.litert:
        raise BundleError(f"{bundle.path} has no LiteRT files; export it again with --litert")
    # LiteRT by itself takes one thread.
    threads = job["threads"] or default_threads() or os.cpu_count()
    litert: Any = importlib.import_module("ai_edge_litert.interpreter")
    content = bundle.litert["sampler"].content()
    interpreter = litert.Interpreter(model_content=content, num_threads=threads)
    sample = interpreter.get_signature_runner()
    feeds = {
        "seeds": np.arange(job["batch"], dtype=np.int64),
        "steps": np.array(job["steps"], np.int64),
        **unguided(bundle, job["batch"]),
    }

    def task() -> None:
        sample(**feeds)

    task()
    about = {"versions": versions(["ai-edge-litert"]), "note": f"{threads} threads"}
    return about, lambda: {"ms": milliseconds(task)}
