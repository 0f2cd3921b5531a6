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
from .graphs.graph import Tensors
from .manifest import describe_file
from .network.codec import DECODER, ENCODER
from .proof.certify import BATCHES, VERIFY_STEPS, Certificate, ParityError, certify, tolerances
from .proof.comparison import compare
from .proof.denoisers import network_of
from .proof.forms import onnx_forms
from .proof.originals import NETWORK, Originals, originals
from .proof.reference import ReferenceSampler, reference_of
from .proof.reference_guidance import Network
from .proof.reference_upscaling import ReferenceUpscaler
from .second import second_stage


def verify_bundle(
    bundle: Path | str,
    network: Any = None,
    inputs: Sequence[str] = (),
    codec: tuple[Any, Any] = (None, None),
    then: Path | str | None = None,
) -> Certificate:
    """Run all that a bundle holds against the float64 reference, as at export but on more steps.

    The reference drives the network inside the SavedModel's `denoise`, or the `network` that the
    bundle was made from, with the `inputs` in this order. A latent model also has its SavedModel's
    decoder and encoder, or those of `codec` beside such a network. As in `export_bundle`, each is a
    Keras model or the path of an .onnx file. A cascade needs the bundle `then` of its second stage,
    whose denoiser the reference drives. Raises InputError where the bundle is damaged, its manifest
    breaks the schema, or the parity is worse than the tolerance.
    """
    bundle = Path(bundle).expanduser()
    graphs = open_all(bundle)
    if network is None and not (bundle / "saved_model").is_dir():
        raise InputError(
            f"bundle={bundle}: holds no saved_model for the reference to call; give the .keras or "
            ".onnx file that it was made from as network, or export it with a SavedModel"
        )
    description = json.loads((bundle / MANIFEST).read_bytes())
    if tables := description["sampler"].get("tables"):
        Tables.from_json(tables)  # refuses numbers that make no sampler
    second = _second(then, description)
    if network is not None:
        given: Any = dict(zip((NETWORK, DECODER, ENCODER), (network, *codec), strict=True))
        return _certified(bundle, graphs, originals(given, description, graphs, inputs), second)
    own = _SavedCodec(bundle, description) if "latent" in description else None
    denoiser = _denoiser(bundle)
    reference = reference_of(description, denoiser, denoises=True, codec=own, second=second)
    return certify(bundle, graphs, description, reference, steps=VERIFY_STEPS)


def _certified(
    bundle: Path, graphs: Sequence[str], own: Originals, second: ReferenceUpscaler | None
) -> Certificate:
    """The certificate of a bundle by the networks that it was made from.

    Raises InputError that names those which it was not made from, as far as that can be told.
    """
    description = own.description
    with own.computing():
        predict, codec = own.predict(), own.codec()
        reference = reference_of(description, predict, codec=codec, second=second)
        try:
            return certify(bundle, graphs, description, reference, steps=VERIFY_STEPS)
        except ParityError as error:
            others = [role for role in (DECODER, ENCODER) if role in own.networks]
            wrong = [role for role in others if not _agrees(bundle, role, description, reference)]
            named = ", ".join(map(own.named, wrong or [NETWORK]))
            raise InputError(
                f"{named}: {'are' if len(wrong) > 1 else 'is'} not what {bundle} was made from, or "
                f"the bundle is wrong: {error.form} differs from the float64 reference by up to "
                f"{error.received:.6f}; give what it was made from"
            ) from error


def _agrees(
    bundle: Path, role: str, description: Mapping[str, Any], reference: ReferenceSampler
) -> bool:
    """Whether the given decoder or encoder, by itself, agrees with the one in the bundle."""
    forms = list(onnx_forms(bundle, (role,), description))
    compared = compare(forms, description, reference, BATCHES[-1:], VERIFY_STEPS[:1]).to_reference
    largest, _ = tolerances(reference, description)
    # A NaN is within no tolerance.
    return all(np.max(apart) <= largest * (1 + 1e-9) for apart in compared.values())


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
