"""The process that samples from a bundle's SavedModel, the only one that imports TensorFlow."""

import importlib
from pathlib import Path
from typing import Any

from ...bundle.bundle import open_bundle
from ...engine.conditioning import unguided
from ...errors import BundleError, DeviceError
from ..machine import versions
from ..protocol import Answer, Job, Turn, milliseconds


def prepare(job: Job) -> tuple[Answer, Turn]:
    """Load the SavedModel and sample once to warm up; the turn samples again."""
    folder = Path(job["bundle"]) / "saved_model"
    if not folder.is_dir():
        raise BundleError(f"{folder} does not exist; export the model again with its SavedModel")
    tf: Any = importlib.import_module("tensorflow")
    if job["device"] == "cuda" and not tf.config.list_physical_devices("GPU"):
        raise DeviceError("TensorFlow finds no GPU; run pip install 'tensorflow[and-cuda]'")
    if job["threads"]:
        tf.config.threading.set_intra_op_parallelism_threads(job["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(job["threads"])
    model = tf.saved_model.load(str(folder))
    function = model.signatures["serving_default"]
    seeds = tf.range(job["batch"], dtype=tf.int64)
    steps = tf.constant(job["steps"], tf.int64)
    unguided_inputs = unguided(open_bundle(job["bundle"]), job["batch"])
    conditioning = {name: tf.constant(value) for name, value in unguided_inputs.items()}

    def task() -> None:
        for output in function(seeds=seeds, steps=steps, **conditioning).values():
            output.numpy()

    task()
    return {"versions": versions(["tensorflow"])}, lambda: {"ms": milliseconds(task)}
