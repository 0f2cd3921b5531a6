"""The networks around a latent model: from its latents to images, and perhaps back.

Latent diffusion (arXiv 2112.10752) denoises what an encoder makes of images. Samplers evaluate the
decoder once, after their last step.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto

from ...trainer.config import MAX_SIDE
from ...trainer.errors import InputError, first_line
from ..checks import is_onnx
from .causes import cause
from .fitted import Shape
from .given import model_of
from .onnx_file import OnnxFile, declared, in_single_precision, read_onnx, session_of
from .onnx_graph import Around, at_opset, for_any_batch
from .roles import CHANNELS

DECODER, ENCODER = "decoder", "encoder"
_EXAMPLES = 2
# How far an image alone and among others are apart, relative to the size of the numbers.
_SAME = 1e-4
# Names, in parts, of an encoder's output that is the mean of its latents.
_MEANS = ("mean", "mu")


@dataclass(frozen=True)
class FittedMap:
    """A network of float32 [N, *taken] → float32 [N, *given], for any N.

    `output` says which of its outputs that is; more entries on the last axis than `given` has are
    left out. Images have their channels last here; `swaps_input` and `swaps_output` say where the
    network has them first.
    """

    role: str
    network: "keras.Model | OnnxFile"
    taken: Shape
    given: Shape
    output: int = 0
    swaps_input: bool = False
    swaps_output: bool = False

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """The output as a tensor; of an ONNX file, onnxruntime's."""
        if isinstance(self.network, OnnxFile):
            result: Any = tf.numpy_function(self.predict, [values], tf.float32, stateful=False)
            result.set_shape([None, *self.given])
            return result
        values = tf.transpose(values, [0, 3, 1, 2]) if self.swaps_input else values
        dtype: Any = keras.tree.flatten(self.network.input)[0].dtype
        outputs = keras.tree.flatten(self.network(tf.cast(values, dtype), training=False))
        result = tf.cast(outputs[self.output], tf.float32)
        result = tf.transpose(result, [0, 2, 3, 1]) if self.swaps_output else result
        return result if result.shape[-1] == self.given[-1] else result[..., : self.given[-1]]

    def predict(self, values: np.ndarray) -> np.ndarray:
        """The output as an array, float32 [N, *given]."""
        if not isinstance(self.network, OnnxFile):
            return self(tf.constant(values)).numpy()
        values = values.transpose(0, 3, 1, 2) if self.swaps_input else values
        result = _run(self._session, values)[self.output].astype(np.float32)
        result = result.transpose(0, 2, 3, 1) if self.swaps_output else result
        return np.ascontiguousarray(result[..., : self.given[-1]])

    @cached_property
    def _session(self) -> Any:
        return session_of(in_single_precision(self.network.model))

    @cached_property
    def graph(self) -> onnx.ModelProto | None:
        """The graph of an ONNX file: given → prediction, for any N; None for a Keras model."""
        if not isinstance(self.network, OnnxFile):
            return None
        model = at_opset(self.network)
        (value,) = model.graph.input
        taken = (self.taken[-1], *self.taken[:-1]) if self.swaps_input else self.taken
        for_any_batch(model, {value.name: ["N", *taken]}, fixed=declared(value)[0][0] == 1)
        around = Around(model)
        name = around.input("given", TensorProto.FLOAT, self.taken)
        if self.swaps_input:
            name = around.before("Transpose", name, perm=[0, 3, 1, 2])
        around.before("Cast", name, output=value.name, to=value.type.tensor_type.elem_type)
        name = around.after("Cast", around.inner_output(self.output), to=TensorProto.FLOAT)
        if self.swaps_output:
            name = around.after("Transpose", name, perm=[0, 2, 3, 1])
        ends = [around.constant(np.array([n])) for n in (0, self.given[-1], len(self.given))]
        around.after("Slice", name, *ends, output="prediction")
        return around.finished(self.given, ["given"])


@dataclass(frozen=True)
class CalledMap:
    """A map of the same shapes that calls another function."""

    call: Callable[[tf.Tensor], tf.Tensor]
    taken: Shape
    given: Shape

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """The output as a tensor."""
        return self.call(values)


@dataclass(frozen=True)
class Codec:
    """A decoder and perhaps an encoder of images, whose pixels have `mean` and `std` there.

    The decoder takes latents in their own units and gives normalised images, (pixel − mean)/std of
    pixels in [0, 1]; the encoder does the reverse.
    """

    decoder: FittedMap | CalledMap
    encoder: FittedMap | CalledMap | None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def image_shape(self) -> Shape:
        """Height, width and channels of images."""
        return self.decoder.given

    @property
    def latent_shape(self) -> Shape:
        """The shape of latents."""
        return self.decoder.taken

    @property
    def places(self) -> tuple[int, int] | None:
        """The two axes of latents that are rows and columns of blocks of pixels, if any are."""
        (*image, _), latent = self.image_shape, self.latent_shape
        for axes in ((0, 1), (1, 2)) if len(latent) == 3 else ():
            if all(side % latent[axis] == 0 for side, axis in zip(image, axes, strict=True)):
                return axes
        return None

    @property
    def networks(self) -> "list[keras.Model | OnnxFile]":
        """The networks themselves."""
        return [
            each.network for each in (self.decoder, self.encoder) if isinstance(each, FittedMap)
        ]

    def with_call(self, role: str, call: Callable[[tf.Tensor], tf.Tensor]) -> "Codec":
        """The same with another function in the place of its decoder or encoder."""
        own = self.decoder if role == DECODER else self.encoder
        called = None if own is None else CalledMap(call, own.taken, own.given)
        return replace(self, **{role: called})


def network_given(role: str, given: Any) -> "keras.Model | OnnxFile":
    """The decoder or encoder that is meant: a Keras model, or the path of an .onnx file."""
    if isinstance(given, str | os.PathLike) and is_onnx(given):
        return read_onnx(Path(given))
    try:
        return model_of(given)
    except InputError as error:
        raise InputError(f"{role}: {str(error).removeprefix('network: ')}") from error


def fitted_codec(decoder: Any, encoder: Any, latent_shape: Shape) -> Codec:
    """A decoder, and an encoder if it is not None, of latents of this shape.

    Raises InputError for networks of other shapes, and for what cannot be called.
    """
    down = _fitted_decoder(decoder, latent_shape)
    return Codec(down, None if encoder is None else _fitted_encoder(encoder, down))


def _fitted_decoder(network: Any, latent_shape: Shape) -> FittedMap:
    shape = _input_of(DECODER, network)
    if not _agrees(shape, latent_shape):
        raise InputError(
            f"decoder: takes {_listed(shape)}, expected latents {_listed(latent_shape)}, which the "
            "network denoises; give the decoder that belongs to it"
        )
    outputs = _outputs_of(DECODER, network, latent_shape)
    fits = [place for place, each in enumerate(outputs) if _is_image(each)]
    if len(fits) != 1:
        raise InputError(
            f"decoder: gives {' and '.join(map(_listed, outputs))}, expected one image [N, H, W, "
            f"C] with 1 to 4 channels and sides of at most {MAX_SIDE}"
        )
    image = outputs[fits[0]]
    swaps = image[-1] not in CHANNELS
    given = (*image[1:], image[0]) if swaps else image
    fitted = FittedMap(DECODER, network, latent_shape, given, fits[0], swaps_output=swaps)
    return _checked(fitted)


def _fitted_encoder(network: Any, decoder: FittedMap) -> FittedMap:
    shape, image, latent = _input_of(ENCODER, network), decoder.given, decoder.taken
    swaps = not _agrees(shape, image)
    first = (image[-1], *image[:-1])
    if swaps and not _agrees(shape, first):
        raise InputError(
            f"encoder: takes {_listed(shape)}, expected images {_listed(image)}, which the decoder "
            "gives; give the encoder that belongs to it"
        )
    outputs = _outputs_of(ENCODER, network, first if swaps else image)
    twice = (*latent[:-1], 2 * latent[-1])
    fits = [place for place, each in enumerate(outputs) if each in (latent, twice)]
    if len(fits) > 1:
        named = [place for place in fits if _is_mean(_output_names(network)[place])]
        fits = named if len(named) == 1 else fits
    if len(fits) != 1:
        raise InputError(
            f"encoder: gives {' and '.join(map(_listed, outputs))}, expected one that is the "
            f"latents' mean, {_listed(latent)}, or mean and variance, {_listed(twice)}; keep only "
            "that one"
        )
    return _checked(FittedMap(ENCODER, network, image, latent, fits[0], swaps_input=swaps))


def _checked(fitted: FittedMap) -> FittedMap:
    """The map, if it is finite, the same each time, and takes one alone as it does among others."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(_EXAMPLES, *fitted.taken)).astype(np.float32)
    together = fitted.predict(values)
    alone = np.concatenate([fitted.predict(values[row : row + 1]) for row in range(_EXAMPLES)])
    if not np.isfinite(together).all():
        raise InputError(f"{fitted.role}: what it gives for noise is not finite; expected numbers")
    size = max(np.abs(alone).max(), 1e-12)
    if (apart := np.abs(fitted.predict(values) - together).max() / size) > _SAME:
        raise InputError(
            f"{fitted.role}: what it gives for the same changes by {apart:.1%} from call to call; "
            "expected one that draws no random numbers, such as an encoder that gives the mean"
        )
    if (apart := np.abs(together - alone).max() / size) > _SAME:
        raise InputError(
            f"{fitted.role}: what it gives for one changes by {apart:.1%} with the rest of the "
            "batch; look for a layer that takes a mean over the batch"
        )
    return fitted


def _input_of(role: str, network: Any) -> tuple[int | None, ...]:
    """The shape of the only input, without N."""
    if isinstance(network, OnnxFile):
        shapes = [declared(value)[0] for value in network.model.graph.input]
    else:
        shapes = [tuple(each.shape) for each in keras.tree.flatten(network.input)]
    if len(shapes) != 1:
        inputs = " and ".join(_listed(shape[1:]) for shape in shapes)
        raise InputError(f"{role}: takes {inputs}, expected one input")
    return shapes[0][1:]


def _outputs_of(role: str, network: Any, taken: Shape) -> list[tuple[int, ...]]:
    """The shapes of the outputs, without N, for an input of this shape."""
    values = np.zeros((_EXAMPLES, *taken), np.float32)
    try:
        if isinstance(network, OnnxFile):
            outputs = _run(session_of(in_single_precision(network.model)), values)
        else:
            outputs = keras.tree.flatten(network(values, training=False))
    except Exception as error:  # of its layers or of onnxruntime, whatever it is
        reason = first_line(error) if isinstance(network, OnnxFile) else cause(error)
        raise InputError(f"{role}: cannot be called on {_listed(taken)} ({reason})") from error
    return [tuple(map(int, each.shape[1:])) for each in outputs]


def _run(session: Any, values: np.ndarray) -> list[np.ndarray]:
    """What a session of one input returns; one at a time, where it is for a batch of one."""
    (given,) = session.get_inputs()
    single = given.shape and given.shape[0] == 1
    size = 1 if single else len(values)
    calls = [
        session.run(None, {given.name: values[row : row + size]})
        for row in range(0, len(values), size)
    ]
    return [np.concatenate(parts) for parts in zip(*calls, strict=True)]


def _output_names(network: Any) -> list[str]:
    if isinstance(network, OnnxFile):
        return [value.name for value in network.model.graph.output]
    paths = keras.tree.flatten_with_path(network.output)
    # The layer's name, or the key of a dict.
    return [" ".join([*map(str, path), str(each._keras_history[0].name)]) for path, each in paths]


def _is_mean(name: str) -> bool:
    return any(part in _MEANS for part in name.replace("_", " ").split())


def _is_image(shape: Sequence[int]) -> bool:
    ends = len(shape) == 3 and (shape[0] in CHANNELS or shape[-1] in CHANNELS)
    return ends and max(shape) <= MAX_SIDE


def _agrees(declared_shape: Sequence[int | None], shape: Sequence[int]) -> bool:
    pairs = zip(declared_shape, shape, strict=False)
    return len(declared_shape) == len(shape) and all(own in (None, size) for own, size in pairs)


def _listed(shape: Sequence[int | None]) -> str:
    return f"[{', '.join(map(str, ('N', *shape)))}]"
