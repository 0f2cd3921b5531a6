"""A network behind the one call that a sampler makes, whatever its inputs and outputs look like."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from ...runtime.bundle.conditions import MAX_NUMBERS
from ...trainer.errors import InputError
from ..conditions import Condition
from ..model import ROLES
from .conditions import FittedCondition, Pixels, fitted_conditions
from .roles import CHANNELS, CONDITION, LABELS, NOISY, Input, inputs_of, roles_of

if TYPE_CHECKING:
    from .onnx_network import OnnxNetwork

_LOG = logging.getLogger("diffkiln.export")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class FittedNetwork:
    """A Keras network as a function of [noisy, condition], then what it takes besides.

    These are float32 [N, H, W, C], or arrays of another rank, and float32 [N]; after them come
    labels int64 [N], −1 for no class, guidance float32 [N], and `conditions`, as each says. The
    result is the prediction, float32 [N, H, W, C], as in Keras's `predict`, of 2·C channels with a
    learned variance: `depth`. `shape` is (H, W, C), or the shape of an array. `roles` says what
    each input of the network is, and `output` which of its outputs is the prediction.
    """

    network: keras.Model
    shape: Shape
    inputs: tuple[Input, ...]
    roles: tuple[str, ...]
    output: int
    channels_first: bool
    depth: int
    conditions: tuple[FittedCondition, ...] = ()

    # It is converted from TensorFlow.
    graph = None

    def __call__(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """The prediction, float32 [N, H, W, depth]."""
        given = dict(zip(taken(self), inputs, strict=True))
        fitted = [
            self._fitted(role, given[role], spec)
            for role, spec in zip(self.roles, self.inputs, strict=True)
        ]
        arguments = keras.tree.pack_sequence_as(self.network.input, fitted)
        outputs = keras.tree.flatten(self.network(arguments, training=False))
        prediction: Any = tf.cast(outputs[self.output], tf.float32)
        if self.channels_first:
            prediction = tf.transpose(prediction, [0, 2, 3, 1])
        if prediction.shape[-1] == self.depth:
            return prediction
        return prediction[..., : self.depth]  # without a learned variance

    @property
    def takes_whole_condition(self) -> bool:
        """Whether the network's condition is a whole number."""
        return self.inputs[self.roles.index(CONDITION)].is_whole

    def _fitted(self, role: str, values: tf.Tensor, spec: Input) -> tf.Tensor:
        """A tensor as the input of the network takes it."""
        dtype: Any = tf.as_dtype(spec.dtype)
        condition = next((each for each in self.conditions if each.name == role), None)
        if condition is not None and condition.is_image:
            values = condition.normalised(values)
        if role == NOISY or (condition is not None and condition.is_image):
            return tf.cast(
                tf.transpose(values, [0, 3, 1, 2]) if self.channels_first else values, dtype
            )
        if condition is not None:
            return tf.cast(values, dtype)
        if dtype.is_integer and values.dtype.is_floating:
            values = tf.round(values)
        if role == LABELS and spec.shape and spec.shape[-1] != 1:
            # Not tf.one_hot, which ONNX's OneHot takes for the last class at -1.
            rows = tf.range(spec.shape[-1], dtype=values.dtype)
            return tf.cast(tf.equal(values[:, None], rows), dtype)
        if len(spec.shape) == 3 and set(spec.shape) != {1}:
            return tf.cast(self._spread(values), dtype)
        return tf.cast(tf.reshape(values, [-1, *spec.shape]), dtype)

    def _spread(self, values: tf.Tensor) -> tf.Tensor:
        """One number of each image at each of its pixels."""
        height, width, _ = self.shape
        size = [1, height, width] if self.channels_first else [height, width, 1]
        return tf.tile(tf.reshape(values, [-1, 1, 1, 1]), [1, *size])


def taken(network: "FittedNetwork | OnnxNetwork") -> tuple[str, ...]:
    """The roles of a network's inputs in the order of the call that a sampler makes."""
    known = tuple(role for role in ROLES if role in network.roles)
    return known + tuple(condition.name for condition in network.conditions)


def fitted(
    network: keras.Model,
    *,
    classes: int = 0,
    inputs: Sequence[str] = (),
    image_size: Sequence[int] | None = None,
    whole_condition: bool = False,
    learned_variance: bool = False,
    conditions: Mapping[str, Condition] = {},
    pixels: Pixels = (0.0, 1.0),
    takes_guidance: bool = False,
    arrays: bool = False,
) -> FittedNetwork:
    """A functional Keras model behind the call that a sampler makes.

    `inputs` are the roles of its inputs in their order, if names and shapes do not say them;
    `image_size` is (height, width), for a network of any size; a condition that is a timestep is a
    `whole_condition`. With `learned_variance`, its outputs' second half is kept. Its inputs of the
    names of `conditions` are those; `pixels` are mean and standard deviation of the images' pixels.
    One that `takes_guidance` has an input for it, and one of `arrays` takes no images. Raises
    InputError for a network of another kind.
    """
    own = inputs_of(network)
    roles = roles_of(
        *(own, classes, inputs),
        whole_condition=whole_condition,
        conditions=conditions,
        takes_guidance=takes_guidance,
        arrays=arrays,
    )
    by_role = dict(zip(roles, own, strict=True))
    image, condition = by_role[NOISY], by_role[CONDITION]
    require_types(image, condition, whole_condition=whole_condition)
    channels_first = not arrays and _channels_first(network, image.shape)
    if arrays:
        shape = array_shape_of(image)
    else:
        shape = size_of(image.shape, image_size, channels_first=channels_first)
    channels = None if arrays else shape[-1]
    further = fitted_conditions(
        conditions, by_role, channels_first=channels_first, pixels=pixels, channels=channels
    )
    outputs = [tuple(tensor.shape[1:]) for tensor in keras.tree.flatten(network.output)]
    remedy = "keep only that one, with keras.Model(network.inputs, …)"
    depth = 2 * shape[-1] if learned_variance else shape[-1]
    output = output_of(outputs, shape, remedy, channels_first=channels_first, depth=depth)
    return FittedNetwork(network, shape, tuple(own), roles, output, channels_first, depth, further)


def require_types(image: Input, condition: Input, *, whole_condition: bool) -> None:
    """Raise InputError for images, or a condition other than a timestep, of whole numbers."""
    if not tf.as_dtype(image.dtype).is_floating:
        raise InputError(
            f"network: its images are {image}, which would round the noise to whole numbers; build "
            "it with float32 images"
        )
    if condition.is_whole and not whole_condition:
        raise InputError(
            f"network: its condition is {condition}, but only timesteps are whole numbers; "
            "expected conditioning=timestep, or a condition of float32"
        )


def _channels_first(network: keras.Model, shape: Sequence[int | None]) -> bool:
    if shape[0] in CHANNELS and shape[-1] in CHANNELS:
        return any(
            getattr(layer, "data_format", None) == "channels_first"
            for layer in network._flatten_layers()
        )
    return shape[-1] not in CHANNELS


def size_of(
    shape: Sequence[int | None], image_size: Sequence[int] | None, *, channels_first: bool
) -> Shape:
    """Height, width and channels; InputError unless the network or `image_size` says the size."""
    own = tuple(shape[1:] if channels_first else shape[:2])
    channels = shape[0] if channels_first else shape[-1]
    asked = tuple(image_size) if image_size else own
    if any(size not in (None, side) for size, side in zip(own, asked, strict=True)):
        raise InputError(f"image_size={asked}: the network takes images of {own}; leave it out")
    if None in asked:
        raise InputError(
            "network: takes images of any size; give the size to bake with "
            "image_size=(height, width), or --image_size=64"
        )
    height, width, channels = (int(each) for each in (*asked, channels) if each is not None)
    return height, width, channels


def array_shape_of(one: Input) -> Shape:
    """The shape of an array; InputError for one with a size that is free, or with too many."""
    sizes = [size for size in one.shape if size is not None]
    if len(sizes) < len(one.shape):
        raise InputError(
            f"network: takes arrays of any size, {one}; build it for the one to bake: graphs have "
            "fixed sizes"
        )
    if math.prod(sizes) > MAX_NUMBERS:
        raise InputError(f"network: takes {one}; expected at most {MAX_NUMBERS} numbers a sample")
    return tuple(sizes)


def output_of(
    outputs: Sequence[tuple[int | None, ...]],
    shape: Shape,
    remedy: str,
    *,
    channels_first: bool,
    depth: int,
) -> int:
    """Which output, of these shapes, is the prediction: the only one of the images' size.

    It has `depth` channels: as many as the images, or twice as many with a learned variance, which
    may also be there without being asked for. Raises InputError if none is, or several are.
    """
    *sides, channels = shape

    def whole(depth: int) -> tuple[int, ...]:
        return (depth, *sides) if channels_first else (*sides, depth)

    def fits(output: tuple[int | None, ...], depth: int) -> bool:
        pairs = zip(output, whole(depth), strict=False)
        return len(output) == len(shape) and all(size in (None, side) for size, side in pairs)

    places = [place for place, output in enumerate(outputs) if fits(output, depth)]
    learned = [place for place, output in enumerate(outputs) if fits(output, 2 * channels)]
    if not places and len(learned) == 1:
        _LOG.info(
            "network: predicts %d channels for images of %d; uses the first %d, and takes the rest "
            "for a learned variance, which it leaves out",
            *(2 * channels, channels, channels),
        )
        places = learned
    if len(places) == 1:
        return places[0]
    sizes = ", ".join(f"[{', '.join(map(str, ('N', *output)))}]" for output in outputs)
    expected = ", ".join(map(str, ("N", *whole(depth))))
    if depth != channels:
        raise InputError(
            f"variance=learned: the network has outputs {sizes}, expected one of the images' size "
            f"with twice their channels, [{expected}]; leave variance out"
        )
    raise InputError(
        f"network: has outputs {sizes}, expected one that is the prediction, [{expected}]; {remedy}"
    )
