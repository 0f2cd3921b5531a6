"""Checks a bundle that exists: its manifest, its files, and the parity of what is in them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..runtime.bundle.bundle import open_bundle
from ..runtime.bundle.files import located
from ..runtime.bundle.manifest import MANIFEST
from ..runtime.engine.session import SessionSettings, create_session
from ..runtime.errors import BundleError
from ..trainer.errors import InputError
from ..trainer.maths.tables import Tables
from .cascade import reference_upscaler
from .conditions import Condition
from .graphs.graph import Tensors
from .manifest import describe_file
from .network.codec import DECODER, ENCODER, Codec, fitted_codec, network_given
from .network.onnx_file import read_onnx
from .network.onnx_fitting import fitted_onnx
from .proof.certify import VERIFY_STEPS, Certificate, ParityError, certify
from .proof.denoisers import network_of
from .proof.reference import reference_of
from .proof.reference_codec import shape_of
from .proof.reference_guidance import Network
from .proof.reference_upscaling import ReferenceUpscaler
from .second import second_stage


def verify_bundle(
    bundle: Path | str,
    network: Path | str | None = None,
    inputs: Sequence[str] = (),
    codec: tuple[Any, Any] = (None, None),
    then: Path | str | None = None,
) -> Certificate:
    """Run all that a bundle holds against the float64 reference, as at export but on more steps.

    The reference drives the network inside the SavedModel's `denoise`, or the .onnx file `network`
    that the bundle was made from, with the `inputs` in this order. A latent model also has its
    SavedModel's decoder and encoder, or those of `codec` beside such a file. A cascade needs the
    bundle `then` of its second stage, whose denoiser the reference drives. Raises InputError where
    the bundle is damaged, its manifest breaks the schema, or the parity is worse than the
    tolerance.
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
    second = _second(then, description)
    if network is None:
        own = _SavedCodec(bundle, description) if "latent" in description else None
        reference = reference_of(
            description, _denoiser(bundle), denoises=True, codec=own, second=second
        )
    else:
        given = _codec_of_files(codec, description, graphs)
        predict = _of_file(network, description, inputs)
        reference = reference_of(description, predict, codec=given, second=second)
    try:
        return certify(bundle, graphs, description, reference, steps=VERIFY_STEPS)
    except ParityError as error:
        if network is None:
            raise
        raise InputError(
            f"network={network}: is not what {bundle} was made from, or the bundle is wrong: "
            f"{error}"
        ) from error


def _second(then: Path | str | None, description: Mapping[str, Any]) -> ReferenceUpscaler | None:
    """The second stage of a cascade, from the bundle that it was made of."""
    entry = description.get("then")
    if entry is None and then is not None:
        raise InputError(
            f"then={then}: is for a cascade, and the bundle has one stage; leave it out"
        )
    if entry is None:
        return None
    if then is None:
        raise InputError(
            "then: missing, but the bundle is a cascade; give its second stage's bundle"
        )
    second = second_stage(then, entry["steps"], entry.get("augmentation", 0.0))
    if second is None or second.essentials()["sha256"] != entry["sha256"]:
        problem = "is not what the cascade was made of; give the bundle of its second stage"
        raise InputError(f"then={then}: {problem}")
    return reference_upscaler(second, description)


def _of_file(path: Path | str, description: Mapping[str, Any], inputs: Sequence[str]) -> Network:
    """The network of an .onnx file as the reference calls it."""
    model, shape = description["model"], shape_of(description)
    arrays = "array" in description
    names, file = model.get("class_names", []), read_onnx(Path(path))
    network = fitted_onnx(
        file.rounded() if model.get("weight_storage") == "float16" else file,
        classes=len(names),
        inputs=inputs,
        image_size=None if arrays else shape[:2],
        whole_condition=model["conditioning"] == "timestep",
        learned_variance=description["sampler"].get("variance") == "learned",
        conditions={each["name"]: _condition(each) for each in description.get("conditions", [])},
        takes_guidance="guidance_range" in model,
        arrays=arrays,
    )
    if network.shape != shape:
        raise InputError(
            f"network={path}: is for samples of {list(network.shape)}, expected the network of the "
            f"bundle, for {list(shape)}"
        )
    return network.predict


def _codec_of_files(
    codec: tuple[Any, Any], description: Mapping[str, Any], graphs: Sequence[str]
) -> Codec | None:
    """The decoder and encoder of a latent model, from their files."""
    decoder, encoder = codec
    if "latent" not in description:
        return None
    if decoder is None or (encoder is None and "encoder" in graphs):
        missing = "decoder" if decoder is None else "encoder"
        raise InputError(f"{missing}: missing; give the file that the bundle was made from")
    given = zip((DECODER, ENCODER), codec, strict=True)
    down, up = (None if each is None else network_given(role, each) for role, each in given)
    return fitted_codec(down, up, tuple(description["latent"]["shape"]))


class _SavedCodec:
    """A SavedModel's decoder and encoder, of normalised images."""

    def __init__(self, bundle: Path, description: Mapping[str, Any]) -> None:
        self._signatures = tf.saved_model.load(str(bundle / "saved_model")).signatures
        self._uint8 = description["image"]["dtype"] == "uint8"
        self._mean, self._std = (
            np.array(description[name], np.float32) for name in ("pixel_mean", "pixel_std")
        )
        self.decoder = _Predicts(self._decoded)
        has_encoder = "encode_latents" in self._signatures
        self.encoder = _Predicts(self._encoded) if has_encoder else None

    def _decoded(self, latents: np.ndarray) -> np.ndarray:
        images = self._signatures["decode"](latents=tf.constant(latents))["images"].numpy()
        return (images / (255 if self._uint8 else 1) - self._mean) / self._std

    def _encoded(self, images: np.ndarray) -> np.ndarray:
        pixels = images * self._std + self._mean
        given = np.rint(255 * pixels).astype(np.uint8) if self._uint8 else pixels
        return self._signatures["encode_latents"](images=tf.constant(given))["latents"].numpy()


class _Predicts(NamedTuple):
    predict: Callable[[np.ndarray], np.ndarray]


def _condition(entry: Mapping[str, Any]) -> Condition:
    """A condition of a manifest."""
    names = ("dtype", "shape", "pixel_mean", "pixel_std", "minimum", "maximum")
    fields = {name: entry[name] for name in names if name in entry}
    return Condition(null=entry.get("null"), **fields)


def _denoiser(bundle: Path) -> Network:
    """The SavedModel's `denoise`."""
    denoise = tf.saved_model.load(str(bundle / "saved_model")).signatures["denoise"]
    _, names = denoise.structured_input_signature

    def call(tensors: Tensors) -> Tensors:
        outputs = denoise(**{name: tf.constant(x) for name, x in tensors.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return network_of(call, frozenset(names))


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
