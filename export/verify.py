"""Checks a bundle that is there: its manifest, its files, and the parity of what is in them."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from ..runtime.bundle import open_bundle
from ..trainer.errors import InputError
from .certificate import VERIFY_STEPS, Certificate, certify, reference_of
from .manifest import describe_file
from .options import MANIFEST_NAME
from .schema import check_manifest


def verify_bundle(bundle: Path | str) -> Certificate:
    """Run all that a bundle holds against the float64 reference, as at export but on more steps.

    The reference drives the network inside the SavedModel's `denoise`. Raises InputError where the
    bundle is damaged, its manifest is not as the schema wants it, or the parity is worse than the
    tolerance.
    """
    bundle = Path(bundle)
    try:
        graphs = tuple(open_bundle(bundle).graphs)
    except ValueError as error:
        raise InputError(str(error)) from error
    known = json.loads((bundle / MANIFEST_NAME).read_text())
    check_manifest(known, bundle / MANIFEST_NAME)
    for name, record in known["files"].items():
        _check_file(bundle / name, record)
    denoise = tf.saved_model.load(str(bundle / "saved_model")).signatures["denoise"]

    def image(noisy: np.ndarray, time: np.ndarray) -> np.ndarray:
        return denoise(noisy=tf.constant(noisy), time=tf.constant(time))["image"].numpy()

    model = {**known["model"], "prediction": "image", "conditioning": "time"}
    reference = reference_of({**known, "model": model}, image)
    return certify(bundle, graphs, known, reference, steps=VERIFY_STEPS)


def _check_file(path: Path, record: dict) -> None:
    if not path.is_file():
        raise InputError(f"{path}: missing, though {MANIFEST_NAME} lists it; copy the bundle again")
    received = describe_file(path)
    if received != record:
        raise InputError(
            f"{path}: is {received}, expected {record} as {MANIFEST_NAME} says; copy the bundle "
            "again, or export it again"
        )
