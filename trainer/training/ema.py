"""The exponential moving average of the weights, with a horizon measured in images."""

from collections.abc import Sequence

import tensorflow as tf

# The average covers at most this share of the images seen, so that the first random weights do not
# dominate it early in a run (EDM, arXiv 2206.00364, ema_rampup).
RAMP_UP_RATIO = 0.05


def ema_decay(images_seen: tf.Tensor, *, batch_size: int, half_life_images: int) -> tf.Tensor:
    """decay = 0.5^(batch_size / half-life), float32 []; the half-life grows with `images_seen`.

    `images_seen` counts the images of all steps so far, including this one.
    """
    seen = tf.cast(images_seen, tf.float32)
    half_life = tf.minimum(float(half_life_images), seen * RAMP_UP_RATIO)
    return tf.pow(0.5, batch_size / tf.maximum(half_life, 1e-8))


def update_ema(average: Sequence, weights: Sequence, decay: tf.Tensor) -> None:
    """average ← decay·average + (1 − decay)·weights, for variables in the same order."""
    for mean, weight in zip(average, weights, strict=True):
        mean.assign(mean + (1 - decay) * (tf.cast(weight, mean.dtype) - mean))
