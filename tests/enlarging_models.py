"""Networks that are given a picture: one that enlarges it, one that paints a hole in it."""

from typing import Any

import keras
from keras import layers, ops
from small_models import with_random_weights

from diffkiln.export import Condition

HEIGHT, WIDTH, FACTOR = 32, 24, 2
SMALL_SHAPE = (HEIGHT // FACTOR, WIDTH // FACTOR, 3)
SMALL_PICTURE: dict[str, Any] = {
    "low_resolution": Condition("The picture to enlarge.", dtype="uint8", null=None),
    "augmentation": Condition("The level of noise in it.", null=None, default=0.25),
}
PHOTOGRAPH: dict[str, Any] = {
    "masked_image": Condition("The photograph.", dtype="uint8", null=None),
    "paint_mask": Condition(
        "White where to paint.", dtype="uint8", null=None, pixel_mean=0, pixel_std=1
    ),
}


def enlarging_network(size: tuple[int, int] = (HEIGHT, WIDTH), channels: int = 3) -> keras.Model:
    """A bilinear filter and convolutions, which say other things at the border of a tile.

    It also brightens a tile by the mean of its noise and its picture. So tiles that are laid side
    by side have seams.
    """
    height, width = size
    noisy, time = keras.Input((height, width, channels), name="noisy"), keras.Input((), name="time")
    small = keras.Input((height // FACTOR, width // FACTOR, channels), name="low_resolution")
    level = keras.Input((), name="augmentation")
    large = layers.UpSampling2D(FACTOR, interpolation="bilinear")(small)
    seen = [noisy, large]
    means = layers.GlobalAveragePooling2D()(ops.concatenate(seen, axis=-1))
    bright = ops.reshape(layers.Dense(channels)(means), (-1, 1, 1, channels))
    output = large + ops.multiply(3.0, bright) + _convolved(seen, [time, level], channels)
    return with_random_weights(keras.Model([noisy, time, small, level], output))


def painting_network(size: int = 8, channels: int = 3) -> keras.Model:
    """Convolutions of noise, a mask, and a photograph that the network blanks under the mask."""
    noisy, time = keras.Input((size, size, channels), name="noisy"), keras.Input((), name="time")
    photo = keras.Input((size, size, channels), name="masked_image")
    mask = keras.Input((size, size, 1), name="paint_mask")
    known = ops.multiply(photo, ops.subtract(1.0, mask))
    output = _convolved([noisy, known, mask], [time], channels)
    return with_random_weights(keras.Model([noisy, time, photo, mask], output))


def _convolved(images: list[Any], numbers: list[Any], channels: int) -> Any:
    added = sum(layers.Dense(8)(ops.reshape(number, (-1, 1))) for number in numbers)
    x = layers.Conv2D(8, 3, padding="same")(ops.concatenate(images, axis=-1))
    for _ in range(2):
        x = layers.Conv2D(8, 3, padding="same")(ops.tanh(x + ops.reshape(added, (-1, 1, 1, 8))))
    return layers.Conv2D(channels, 3, padding="same")(ops.tanh(x))
