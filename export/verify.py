"""Checks a bundle that exists: its manifest, its files, and the parity of what is in them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..runtime.bundle.bundle import open_bundle
from ..runtime.bundle.files import located
from ..runtime.bundle.manifest import MANIFEST
from ..runtime.engine.session import SessionSettings, create_session
from ..runtime.errors import BundleError
from ..trainer.errors import InputError
from ..trainer.maths.tables import Tables
from .conditions import Condition
from .manifest import describe_file
from .network.onnx_file import read_onnx
from .network.onnx_fitting import fitted_onnx
from .proof.certify import VERIFY_STEPS, Certificate, ParityError, certify
from .proof.reference import Network, ReferenceConditioning, reference_of


def verify_bundle(
    bundle: Path | str, network: Path | str | None = None, inputs: Sequence[str] = ()
) -> Certificate:
    """Run all that a bundle holds against the float64 reference, as at export but on more steps.

    The reference drives the network inside the SavedModel's `denoise`, or the .onnx file `network`
    that the bundle was made from, with the `inputs` in this order. Raises InputError where the
    bundle is damaged, its manifest breaks the schema, or the parity is worse than the tolerance.
    """
    bundle = Path(bundle).expanduser()
    graphs = open_all(bundle)
    if network is None and not (bundle / "saved_model").is_dir():
        raise InputError(
            f"bundle={bundle}: holds no saved_model for the reference to call; give the .onnx file "
            "that it was made from as network, or export it with a SavedModel"
        )
    description = json.loads((bundle / MANIFEST).read_bytes())
    if tables := description["sampler"].get("tables"):
        Tables.from_json(tables)  # refuses numbers that make no sampler
    if network is None:
        reference = reference_of(description, _denoiser(bundle), denoises=True)
    else:
        reference = reference_of(description, _of_file(network, description, inputs))
    try:
        return certify(bundle, graphs, description, reference, steps=VERIFY_STEPS)
    except ParityError as error:
        if network is None:
            raise
        raise InputError(
            f"network={network}: is not what {bundle} was made from, or the bundle is wrong: "
            f"{error}"
        ) from error


def _of_file(path: Path | str, description: Mapping[str, Any], inputs: Sequence[str]) -> Network:
    """The network of an .onnx file as the reference calls it."""
    image, model = description["image"], description["model"]
    names, file = model.get("class_names", []), read_onnx(Path(path))
    network = fitted_onnx(
        file.rounded() if model.get("weight_storage") == "float16" else file,
        classes=len(names),
        inputs=inputs,
        image_size=(image["height"], image["width"]),
        whole_condition=model["conditioning"] == "timestep",
        learned_variance=description["sampler"].get("variance") == "learned",
        conditions={each["name"]: _condition(each) for each in description.get("conditions", [])},
        takes_guidance="guidance_range" in model,
    )
    if network.shape[-1] != image["channels"]:
        raise InputError(
            f"network={path}: is for {network.shape[-1]} channels, expected the network of the "
            f"bundle, for {image['channels']}"
        )
    return network.predict


def _condition(entry: Mapping[str, Any]) -> Condition:
    """A condition of a manifest."""
    names = ("dtype", "shape", "pixel_mean", "pixel_std", "minimum", "maximum")
    fields = {name: entry[name] for name in names if name in entry}
    return Condition(null=entry.get("null"), **fields)


def _denoiser(bundle: Path) -> Network:
    """The SavedModel's `denoise` as a denoiser of images at times: x̂_0, and v if it is learned."""
    denoise = tf.saved_model.load(str(bundle / "saved_model")).signatures["denoise"]
    _, names = denoise.structured_input_signature

    def image(
        noisy: np.ndarray, time: np.ndarray, told: np.ndarray, *more: ReferenceConditioning
    ) -> np.ndarray:
        two = "network_time" in names
        times = {"time": time, "network_time": told} if two else {"time": told}
        inputs: dict[str, Any] = {"noisy": noisy, **times}
        for given in more:
            inputs |= {**given.shown, "guidance": np.float32(given.guidance)}
        inputs = {name: x for name, x in inputs.items() if name in names}
        outputs = denoise(**{name: tf.constant(x) for name, x in inputs.items()})
        wanted = [name for name in ("image", "variance_fraction") if name in outputs]
        return np.concatenate([outputs[name] for name in wanted], axis=-1)

    return image


def open_all(bundle: Path) -> tuple[str, ...]:
    """Open a bundle as the runtime does, and check all that its manifest lists; its graphs' names.

    Raises InputError for what the runtime would refuse, and for any other file that is altered.
    """
    if bundle.is_file():
        raise InputError(f"bundle={bundle}: is a file, expected a folder; unpack a .zip first")
    try:
        opened = open_bundle(bundle)
        for name in sorted(opened.graphs):
            create_session(opened.graph(name), SessionSettings("cpu"))
        files = json.loads((bundle / MANIFEST).read_bytes())["files"]
        for name, record in files.items():
            path = located(bundle, name)
            if (received := describe_file(path)) != record:
                raise InputError(
                    f"{path}: is {received}, expected {record} as {MANIFEST} says; copy the bundle "
                    "again, or export it again"
                )
    except BundleError as error:
        raise InputError(str(error)) from error
    return tuple(opened.graphs)
