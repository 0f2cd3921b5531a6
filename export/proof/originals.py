"""The networks that a bundle was made from, as the float64 reference drives them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from ...runtime.bundle.samples import SIDES
from ...trainer.errors import InputError
from ..conditions import Condition
from ..model import Model
from ..network.codec import DECODER, ENCODER, Codec, fitted_codec, network_given
from ..network.kinds import Network, as_stored, computing, fit, network_of, storing
from ..network.onnx_file import OnnxFile
from ..network.onnx_network import OnnxNetwork
from ..options import Baking
from .reference_codec import shape_of
from .reference_guidance import Network as Predict

NETWORK = "network"
_STATISTICS = ("pixel_mean", "pixel_std")
_OF_CONDITION = ("dtype", "shape", "pixel_mean", "pixel_std", "minimum", "maximum")


@dataclass(frozen=True)
class Originals:
    """Keras models or ONNX files by role: the network, and the decoder and encoder of latents.

    `description` has the essentials of their bundle's manifest, and `inputs` is the order of the
    network's inputs, if it was said.
    """

    networks: Mapping[str, Network]
    description: Mapping[str, Any]
    inputs: Sequence[str] = ()

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Have them compute as they are baked: in float32, with their weights as stored."""
        networks = list(self.networks.values())
        with computing(networks), storing(networks, _baking(self.description)):
            yield

    def predict(self) -> Predict:
        """The network behind the call that a sampler makes, of arrays."""
        sampler, shape = self.description["sampler"], shape_of(self.description)
        learned = sampler.get("variance") == "learned"
        own = fit(self.networks[NETWORK], self._model(), learned_variance=learned)
        if own.shape != shape:
            raise InputError(
                f"{self.named(NETWORK)}: is for samples of {list(own.shape)}, expected the network "
                f"of the bundle, for {list(shape)}"
            )
        if isinstance(own, OnnxNetwork):
            return own.predict
        call: Any = tf.function(lambda *inputs: own(inputs), autograph=False, reduce_retracing=True)
        return lambda *inputs: call(*map(tf.constant, inputs)).numpy()

    def codec(self) -> Codec | None:
        """The decoder and the encoder of a latent model."""
        if DECODER not in self.networks:
            return None
        shape, image = shape_of(self.description), self.description["image"]
        fitted = fitted_codec(self.networks[DECODER], self.networks.get(ENCODER), shape)
        expected = tuple(image[name] for name in SIDES)
        if fitted.image_shape != expected:
            raise InputError(
                f"{self.named(DECODER)}: gives images {list(fitted.image_shape)}, expected the "
                f"decoder of the bundle, for {list(expected)}"
            )
        return fitted

    def named(self, role: str) -> str:
        """A network in errors: its role, and its file if that is known."""
        network = self.networks[role]
        return f"{role}={network.path}" if isinstance(network, OnnxFile) else role

    def _model(self) -> Model:
        """What the network was trained as, as far as a call of it needs that."""
        model, entries = self.description["model"], self.description
        known: Any = {name: entries[name] for name in _STATISTICS if name in entries}
        for entry in (entries[name] for name in ("array", "latent") if name in entries):
            known |= {"mean": entry["mean"], "std": entry["std"]}
        if "mean" not in known:
            known["image_size"] = shape_of(entries)[:2]
        return Model(
            **known,
            prediction=model["prediction"],
            conditioning=model["conditioning"],
            class_names=model.get("class_names", ()),
            inputs=self.inputs,
            conditions={each["name"]: _condition(each) for each in entries.get("conditions", [])},
            guidance_range=model.get("guidance_range"),
        )


def originals(
    given: Mapping[str, Any],
    description: Mapping[str, Any],
    graphs: Sequence[str],
    inputs: Sequence[str] = (),
) -> Originals:
    """What was given by role, None for nothing, as a bundle with these graphs has it.

    Raises InputError for what is missing, what the bundle has no use for, and what is no network.
    """
    expected = {NETWORK, *({DECODER, ENCODER} & {*graphs})}
    for role, each in given.items():
        if each is None and role in expected:
            raise InputError(f"{role}: missing; give the one that the bundle was made from")
        if each is not None and role not in expected:
            raise InputError(f"{role}: the bundle has none; leave it out")
    classes, baking = "class_names" in description["model"], _baking(description)
    networks = {
        role: network_of(each, classes=classes) if role == NETWORK else network_given(role, each)
        for role, each in given.items()
        if each is not None
    }
    stored = {role: as_stored(each, baking) for role, each in networks.items()}
    return Originals(stored, description, inputs)


def _baking(description: Mapping[str, Any]) -> Baking:
    """How the bundle stores weights."""
    return Baking(weight_storage=description["model"].get("weight_storage", "float32"))


def _condition(entry: Mapping[str, Any]) -> Condition:
    """A condition of a manifest."""
    fields = {name: entry[name] for name in _OF_CONDITION if name in entry}
    return Condition(null=entry.get("null"), **fields)
