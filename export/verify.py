"""Checks a bundle that is there: its manifest, its files, and the parity of what is in them."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from ..runtime.bundle.bundle import open_bundle
from ..runtime.bundle.files import located
from ..runtime.errors import BundleError
from ..trainer.errors import InputError
from .manifest import describe_file
from .options import MANIFEST_NAME
from .proof.certificate import VERIFY_STEPS, Certificate, certify, reference_of
from .proof.reference import ReferenceConditioning


def verify_bundle(bundle: Path | str) -> Certificate:
    """Run all that a bundle holds against the float64 reference, as at export but on more steps.

    The reference drives the network inside the SavedModel's `denoise`. Raises InputError where the
    bundle is damaged, its manifest is not as the schema wants it, or the parity is worse than the
    tolerance.
    """
    bundle = Path(bundle)
    graphs = open_all(bundle)
    if not (bundle / "saved_model").is_dir():
        raise InputError(
            f"bundle={bundle}: holds no saved_model, whose network the reference would drive; "
            "expected a bundle exported with it"
        )
    known = json.loads((bundle / MANIFEST_NAME).read_text())
    denoise = tf.saved_model.load(str(bundle / "saved_model")).signatures["denoise"]

    def image(
        noisy: np.ndarray, time: np.ndarray, *conditionings: ReferenceConditioning
    ) -> np.ndarray:
        wished = {
            name: tf.constant(value)
            for conditioning in conditionings
            for name, value in (
                ("labels", conditioning.labels),
                ("guidance", np.float32(conditioning.guidance)),
            )
        }
        return denoise(noisy=tf.constant(noisy), time=tf.constant(time), **wished)["image"].numpy()

    model = {**known["model"], "prediction": "image", "conditioning": "time"}
    reference = reference_of({**known, "model": model}, image)
    return certify(bundle, graphs, known, reference, steps=VERIFY_STEPS)


def open_all(bundle: Path) -> tuple[str, ...]:
    """Open a bundle as the runtime does, and check all that its manifest lists; its graphs' names.

    Raises InputError for what the runtime would refuse, and for another file that is altered.
    """
    try:
        opened = open_bundle(bundle)
        for name in sorted(opened.graphs):
            opened.graph(name).content()
        files = json.loads((bundle / MANIFEST_NAME).read_text())["files"]
        for name, record in files.items():
            _check_file(located(bundle, name), record)
    except BundleError as error:
        raise InputError(str(error)) from error
    return tuple(opened.graphs)


def _check_file(path: Path, record: dict) -> None:
    received = describe_file(path)
    if received != record:
        raise InputError(
            f"{path}: is {received}, expected {record} as {MANIFEST_NAME} says; copy the bundle "
            "again, or export it again"
        )
