"""A small convolutional network, trained to classify species of flowers, without its last layer.

`benchmarks/train_features.py` trains it and folds its normalisation into the convolutions.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

INPUT_SIZE = 64
# For each 3×3 convolution: its stride, and whether a 2×2 max pooling follows.
STRIDES = (2, 1, 1, 1, 1)
POOLED = (False, True, True, False, False)


def prepared(pixels: tf.Tensor) -> tf.Tensor:
    """The network's input, in [−1, 1], from pixels float32 in [0, 255]."""
    return pixels / 127.5 - 1.0


def resized(images: tf.Tensor | NDArray[np.uint8], size: int) -> tf.Tensor:
    """Pixels float32 [N, size, size, 3] in [0, 255] of images uint8 [N, S, S, 3]."""
    # Antialiased, since a large picture must not look sharper than a small one.
    return tf.image.resize(tf.cast(images, tf.float32), (size, size), antialias=True)


def features(images: NDArray[np.uint8], weights: Mapping[str, np.ndarray]) -> NDArray[np.float32]:
    """Features float32 [N, d] of images uint8 [N, S, S, 3], resized to `INPUT_SIZE`.

    `weights` are `kernel_k` [3, 3, C, D] and `bias_k` [D] of each convolution k.
    """
    x = prepared(resized(images, INPUT_SIZE))
    for index, (stride, pool) in enumerate(zip(STRIDES, POOLED, strict=True)):
        kernel = tf.cast(weights[f"kernel_{index}"], tf.float32)
        bias = tf.cast(weights[f"bias_{index}"], tf.float32)
        x = tf.nn.relu(tf.nn.conv2d(x, kernel, stride, "SAME") + bias)
        x = tf.nn.max_pool2d(x, 2, 2, "VALID") if pool else x
    return tf.reduce_mean(x, [1, 2]).numpy()
