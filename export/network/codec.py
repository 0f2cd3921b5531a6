"""The networks around a latent model: from its latents to images, and perhaps back.

Latent diffusion (arXiv 2112.10752) denoises what an encoder makes of images. Samplers evaluate the
decoder once, after their last step.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...trainer.config import MAX_SIDE
from ...trainer.errors import InputError, first_line
from ..checks import is_onnx
from .causes import cause
from .fitted import Shape
from .given import model_of
from .maps import CalledMap, FittedMap, outputs_of, run_all
from .onnx_file import OnnxFile, declared, read_onnx, session_of
from .places import places_of
from .roles import CHANNELS

DECODER, ENCODER = "decoder", "encoder"
_EXAMPLES = 2
# How far an image alone and among others are apart, relative to the size of the numbers.
_SAME = 1e-4
# Names, in parts, of an encoder's output that is the mean of its latents.
_MEANS = ("mean", "mu")


@dataclass(frozen=True)
class Codec:
    """A decoder and perhaps an encoder of images, whose pixels have `mean` and `std` there.

    The decoder takes latents in their own units and gives normalised images, (pixel − mean)/std of
    pixels in [0, 1]; the encoder does the reverse. `places` are the two axes of latents that are
    rows and columns of blocks of pixels, if any are.
    """

    decoder: FittedMap | CalledMap
    encoder: FittedMap | CalledMap | None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    places: tuple[int, int] | None = None

    @property
    def image_shape(self) -> Shape:
        """Height, width and channels of images."""
        return self.decoder.given

    @property
    def latent_shape(self) -> Shape:
        """The shape of latents."""
        return self.decoder.taken

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
    with blamed(role):
        if isinstance(given, str | os.PathLike) and is_onnx(given):
            return read_onnx(Path(given))
        return model_of(given, role=role)


@contextlib.contextmanager
def blamed(role: str) -> Iterator[None]:
    """Name a decoder or an encoder in errors of what is written for the network itself."""
    try:
        yield
    except InputError as error:
        if not str(error).startswith("network"):
            raise
        raise InputError(f"{role}{str(error).removeprefix('network')}") from error


def fitted_codec(decoder: Any, encoder: Any, latent_shape: Shape) -> Codec:
    """A decoder, and an encoder if it is not None, of latents of this shape.

    Raises InputError for networks of other shapes, and for what cannot be called.
    """
    down = _fitted_decoder(decoder, latent_shape)
    up = None if encoder is None else _fitted_encoder(encoder, down)
    return Codec(down, up, places=places_of(down))


def _fitted_decoder(network: Any, latent_shape: Shape) -> FittedMap:
    shape = _input_of(DECODER, network)
    if not _agrees(shape, latent_shape):
        remedy = "give the decoder that belongs to it"
        if sorted(map(str, shape)) == sorted(map(str, latent_shape)):
            remedy = "give both with channels last, or both with channels first"
        raise InputError(
            f"decoder: takes {_listed(shape)}, expected latents {_listed(latent_shape)}, which the "
            f"network denoises; {remedy}"
        )
    outputs = _outputs_of(DECODER, network, latent_shape)
    fits = [place for place, each in enumerate(outputs) if _is_image(each)]
    if len(fits) != 1:
        remedy = "; keep only that one" if fits else ""
        raise InputError(
            f"decoder: gives {' and '.join(map(_listed, outputs))}, expected one image [N, H, W, "
            f"C] with 1 to 4 channels and sides of at most {MAX_SIDE}{remedy}"
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
    # Mean and variance share the axis of channels, which is the last or the first.
    wider = {(*latent[:-1], 2 * latent[-1]): -1, (2 * latent[0], *latent[1:]): 0}
    fits = [place for place, each in enumerate(outputs) if each == latent or each in wider]
    if len(fits) > 1:
        named = [place for place in fits if _is_mean(_output_names(network)[place])]
        fits = named if len(named) == 1 else fits
    if len(fits) != 1:
        expected = " or ".join(_listed(each) for each in wider)
        raise InputError(
            f"encoder: gives {' and '.join(map(_listed, outputs))}, expected one that is the "
            f"latents' mean, {_listed(latent)}, or mean and variance, {expected}; keep only that "
            "one"
        )
    (place,) = fits
    shortened = wider.get(outputs[place], -1)
    return _checked(FittedMap(ENCODER, network, image, latent, place, shortened, swaps))


def _checked(fitted: FittedMap) -> FittedMap:
    """The map, if it is finite, the same each time, and takes one alone as it does among others."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(_EXAMPLES, *fitted.taken)).astype(np.float32)
    together = fitted.predict(values)
    alone = np.concatenate([fitted.predict(values[row : row + 1]) for row in range(_EXAMPLES)])
    if not np.isfinite(together).all():
        raise InputError(f"{fitted.role}: what it gives for noise is not finite; expected numbers")
    if (apart := _apart(fitted.predict(values), together)) > _SAME:
        raise InputError(
            f"{fitted.role}: what it gives for the same changes by {apart:.1%} from call to call; "
            "expected one that draws no random numbers, such as an encoder that gives the mean"
        )
    if (apart := _apart(together, alone)) > _SAME:
        raise InputError(
            f"{fitted.role}: what it gives for one changes by {apart:.1%} with the rest of the "
            "batch; look for a layer that takes a mean over the batch"
        )
    _require_same_graph(fitted, values, together)
    return fitted


def _require_same_graph(fitted: FittedMap, values: np.ndarray, expected: np.ndarray) -> None:
    """Raise InputError if an ONNX file's graph for any batch is not what the file computes."""
    if fitted.graph is None:
        return
    received = f"{fitted.role}: its graph, changed to take several,"
    remedy = "export it with the batch as a free dimension, and with opset_version=18"
    try:
        (given,) = run_all(session_of(fitted.graph), values)
    except Exception as error:  # onnxruntime's errors have no other common base
        raise InputError(f"{received} fails ({first_line(error)}); {remedy}") from error
    if given.shape != expected.shape:
        raise InputError(f"{received} gives {given.shape}, expected {expected.shape}; {remedy}")
    if (apart := _apart(given, expected)) > _SAME:
        raise InputError(f"{received} differs from the file by {apart:.1%}; {remedy}")


def _apart(some: np.ndarray, others: np.ndarray) -> float:
    """The largest difference, relative to the size of the numbers."""
    return float(np.abs(some - others).max() / max(np.abs(others).max(), 1e-12))


def _input_of(role: str, network: Any) -> tuple[int | None, ...]:
    """The shape of the only input, without N."""
    if isinstance(network, OnnxFile):
        shapes = [declared(value)[0] for value in network.model.graph.input]
    else:
        shapes = [tuple(each.shape) for each in network.inputs]
    if len(shapes) != 1:
        inputs = " and ".join(_listed(shape[1:]) for shape in shapes)
        raise InputError(f"{role}: takes {inputs}, expected one input")
    size, *shape = shapes[0]
    if size not in (None, 1):
        remedy = "export it with the batch as a free dimension"
        raise InputError(f"{role}: is for a batch of {size}; {remedy}")
    return tuple(shape)


def _outputs_of(role: str, network: Any, taken: Shape) -> list[tuple[int, ...]]:
    """The shapes of the outputs, without N, for an input of this shape."""
    try:
        outputs = outputs_of(network, np.zeros((_EXAMPLES, *taken), np.float32))
    except Exception as error:  # of its layers or of onnxruntime, whatever it is
        reason = first_line(error) if isinstance(network, OnnxFile) else cause(error)
        raise InputError(f"{role}: cannot be called on {_listed(taken)} ({reason})") from error
    return [tuple(map(int, each.shape[1:])) for each in outputs]


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
