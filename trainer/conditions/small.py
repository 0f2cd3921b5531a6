"""Small pictures to be enlarged: means over areas, to which training adds noise of some level."""

from typing import Any

import tensorflow as tf


def reduced(images: tf.Tensor, factor: int) -> tf.Tensor:
    """Pictures [N, S, S, C] of levels 0 to 255 by area, float32 [N, S/f, S/f, C] of whole levels.

    Each pixel is the mean of f × f pixels, rounded to the nearest level (halves upwards), so that
    it is what a host would give. Pillow's `Image.reduce` makes the same, to within one level.
    """
    shape: Any = images.shape
    _, height, width, channels = shape
    parts = (-1, height // factor, factor, width // factor, factor, channels)
    sums = tf.reduce_sum(tf.reshape(tf.cast(images, tf.float32), parts), axis=[2, 4])
    # A quarter more than half of the area keeps the rounding of the division away from ties.
    return tf.floor((sums + factor**2 / 2 + 0.25) / factor**2)


def augmented(picture: tf.Tensor, noise: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """√(1 − level²)·picture + level·noise, with level [N] (CDM, arXiv 2106.15282, section 3.2).

    A network that has seen such pictures enlarges drawn ones better, whose details are not quite
    those of photographs.
    """
    rate = tf.reshape(level, (-1, 1, 1, 1))
    return tf.sqrt(1.0 - tf.square(rate)) * picture + rate * noise
