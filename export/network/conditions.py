"""A network's conditions, once the shapes of its inputs are known."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ...trainer.errors import InputError
from ..checks import per_channel
from ..conditions import MOST_NULL_NUMBERS, Condition, Numbers
from .roles import CHANNELS, Input

# Of pixels: their names, and the least that each can be.
_STATISTICS, _LEAST = ("pixel_mean", "pixel_std"), (0.0, 1e-6)

# Mean and standard deviation.
Pixels = tuple[float | Sequence[float], float | Sequence[float]]


@dataclass(frozen=True)
class FittedCondition:
    """A condition as the programs that draw give it: `dtype` [N, *shape].

    The network sees `null`, of this dtype and `shape`, where guidance leaves conditions out; None
    stays. Programs that are given none take the `default`. `pixel_mean` and `pixel_std` are of
    pixels, uint8 [height, width, channels].
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    null: np.ndarray | None
    default: float | None = None
    description: str = ""
    pixel_mean: tuple[float, ...] = ()
    pixel_std: tuple[float, ...] = ()
    range: tuple[int, int] | None = None

    @property
    def is_image(self) -> bool:
        """Whether it is a picture."""
        return self.dtype == "uint8"

    @property
    def spec(self) -> tf.TensorSpec:
        """The input of a graph."""
        return tf.TensorSpec([None, *self.shape], self.dtype, self.name)

    def normalised(self, pixels: tf.Tensor) -> tf.Tensor:
        """Pixels of a picture as the network takes them."""
        mean, std = tf.constant(self.pixel_mean), tf.constant(self.pixel_std)
        return (tf.cast(pixels, tf.float32) / 255.0 - mean) / std

    def describe(self) -> dict[str, Any]:
        """The entry of the manifest."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)} | dict(
            self._described()
        )

    def _described(self) -> Iterator[tuple[str, Any]]:
        if self.description:
            yield "description", self.description
        if self.null is not None:
            same = self.null.size == 1 or np.ptp(self.null) == 0
            yield "null", self.null.ravel()[0].item() if same else self.null.tolist()
        if self.default is not None:
            yield "default", self.default
        if self.range is not None:
            yield from zip(("minimum", "maximum"), self.range, strict=True)
        for name in _STATISTICS if self.is_image else ():
            yield name, list(getattr(self, name))

    def examples(self, count: int) -> np.ndarray:
        """Some values for `count` images, each with its own."""
        rng, shape = np.random.default_rng(7), (count, *self.shape)
        if self.dtype == "float32":
            return rng.normal(size=shape).astype(np.float32)
        if self.is_image:
            return rng.integers(0, 255, size=shape, dtype=np.uint8, endpoint=True)
        low, high = self.range or (0, 1)
        return low + np.arange(np.prod(shape), dtype=np.int64).reshape(shape) % (high - low + 1)


def fitted_conditions(
    conditions: Mapping[str, Condition],
    inputs: Mapping[str, Input],
    *,
    channels_first: bool,
    pixels: Pixels,
    channels: int | None,
) -> tuple[FittedCondition, ...]:
    """Conditions for the network's `inputs` of the same names, in the order of the conditions.

    `pixels` are mean and standard deviation of the images' pixels, of so many `channels`; None if
    the network denoises other arrays, and one number then stands for any. Raises InputError for one
    that its input cannot take.
    """
    if not conditions:
        return ()
    statistics = [
        per_channel(name, values, channels or np.size(values), least=least)
        for name, values, least in zip(_STATISTICS, pixels, _LEAST, strict=True)
    ]
    return tuple(
        _fitted(
            *(name, given, inputs[name], statistics),
            channels_first=channels_first,
            one_for_any=channels is None,
        )
        for name, given in conditions.items()
    )


def _fitted(
    name: str,
    given: Condition,
    one: Input,
    statistics: Sequence[tuple[float, ...]],
    *,
    channels_first: bool,
    one_for_any: bool,
) -> FittedCondition:
    received = f"conditions: {name}"
    dtype = given.dtype or ("int64" if one.is_whole else "float32")
    if (dtype == "int64") < one.is_whole:
        raise InputError(f"{received}: the network takes {one}, whole numbers, not {dtype}")
    shape = one.shape
    if dtype == "uint8":
        if len(shape) != 3:
            raise InputError(f"{received}: the network takes {one}, expected pictures for uint8")
        shape = (*shape[1:], shape[0]) if channels_first else shape
    if given.shape is not None:
        pairs = zip(shape, given.shape, strict=False)
        if len(shape) != len(given.shape) or any(own not in (None, size) for own, size in pairs):
            raise InputError(f"{received}: the network takes {one}, not shape={list(given.shape)}")
        shape = tuple(given.shape)
    if None in shape:
        raise InputError(
            f"{received}: the network takes {one}, of any size; give the shape to bake, as in "
            "Condition(shape=(77, 768))"
        )
    if dtype == "uint8" and shape[-1] not in CHANNELS:
        raise InputError(
            f"{received}: {one} has {shape[-1]} channels, expected 1 to 4 of a picture"
        )
    sizes = tuple(int(size) for size in shape if size is not None)
    mean = std = ()
    if dtype == "uint8":
        own = [each * sizes[-1] if one_for_any and len(each) == 1 else each for each in statistics]
        mean, std = _pixels(received, given, own, sizes[-1])
    null = _null(received, given, dtype, sizes)
    if given.default is not None:
        _array(f"{received}: default", given.default, dtype, sizes)
    most = given.maximum
    if most is not None and dtype != "int64":
        raise InputError(f"{received}: maximum={most}: is for whole numbers, not {dtype}")
    ends = None if most is None else (given.minimum, most)
    texts = given.default, given.description
    return FittedCondition(name, dtype, sizes, null, *texts, mean, std, ends)


def _pixels(
    received: str, given: Condition, images: Sequence[tuple[float, ...]], channels: int
) -> Iterator[tuple[float, ...]]:
    """Mean and standard deviation of each channel."""
    for name, own, least in zip(_STATISTICS, images, _LEAST, strict=True):
        values = getattr(given, name)
        if values is None and len(own) != channels:
            raise InputError(
                f"{received}: has {channels} channels, and the images {len(own)}; give its own "
                "pixel_mean and pixel_std, such as 0 and 1"
            )
        values = own if values is None else values
        yield per_channel(f"{received}: {name}", values, channels, least=least)


def _null(received: str, given: Condition, dtype: str, shape: tuple[int, ...]) -> np.ndarray | None:
    if given.null is None:
        return None
    null = _array(f"{received}: null", given.null, dtype, shape)
    if np.ndim(given.null) and null.size > MOST_NULL_NUMBERS:
        raise InputError(
            f"{received}: null has {null.size:,} numbers, expected at most {MOST_NULL_NUMBERS:,}; "
            "have the network itself put them in place of zeros"
        )
    return null


def _array(received: str, numbers: Numbers, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """A number, or an array of this shape, as an array of this shape and dtype."""
    try:
        array = np.asarray(numbers)
        with np.errstate(all="ignore"):
            values = np.broadcast_to(array.astype(dtype), shape)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{received}: {error}; {_expected(dtype, shape)}") from error
    finite = np.isfinite(values).all()
    same = finite if dtype == "float32" else np.array_equal(values, array + values * 0)
    if array.shape not in ((), shape) or not same:
        raise InputError(f"{received}: {str(numbers)[:40]}: {_expected(dtype, shape)}")
    return values


def _expected(dtype: str, shape: tuple[int, ...]) -> str:
    return f"expected a number, or an array of shape {list(shape)}, that {dtype} can hold"
