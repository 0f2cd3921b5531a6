"""Distances between pictures: in their pixels, and in what a denoising network sees in them.

Pixels alone prefer a soft picture to a sharp one that is a little off. Features of a network tell
the two apart (LPIPS, arXiv 1801.03924), and those of the denoiser itself serve too (arXiv
2401.00110), so that no other network is needed.
"""

from dataclasses import replace

import keras
import tensorflow as tf

from ..config import NetworkConfig
from ..network.layers import PixelNorm
from ..network.unet import build_unet

# Errors below this, in normalised units, count by their square (pseudo-Huber, arXiv 2310.14189).
_SMALL = 1e-3


def distance(image: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Root mean square differences, float32 [n], of any two [n, H, W, C]; smooth at 0."""
    difference = tf.cast(image, tf.float32) - tf.cast(wanted, tf.float32)
    squares = tf.reduce_mean(tf.square(difference), axis=[1, 2, 3])
    return tf.sqrt(squares + _SMALL**2) - _SMALL


class Features:
    """What the downward half of a network, at time 0, makes of pictures."""

    def __init__(self, network: keras.Model, config: NetworkConfig, dtype: str) -> None:
        """`network` is one of `config`; the features are computed under a Keras dtype policy."""
        copy = build_unet(replace(config, guidance_range=None), dtype=dtype)
        copy.set_weights(network.get_weights())
        normalised = [layer.output for layer in copy.layers if isinstance(layer, PixelNorm)]
        half = normalised[: len(normalised) // 2]
        self._layers = keras.Model(copy.inputs, half, name="features")

    def distance(
        self, image: tf.Tensor, wanted: tf.Tensor, labels: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The mean over layers of root mean square differences, float32 [n].

        Pictures are normalised, float32 [n, S, S, C], and labels int64 [n] if there are classes.
        Each pixel of a layer has a mean square of 1, as in LPIPS.
        """
        pairs = zip(self._seen(image, labels), self._seen(wanted, labels), strict=True)
        distances = [distance(*pair) for pair in pairs]
        return tf.add_n(distances) / len(distances)

    def _seen(self, image: tf.Tensor, labels: tf.Tensor | None) -> list[tf.Tensor]:
        time = tf.zeros(tf.shape(image)[:1])
        return self._layers([image, time, *([] if labels is None else [labels])])
