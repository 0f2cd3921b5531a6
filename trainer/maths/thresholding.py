"""Dynamic thresholding of x̂_0 (Imagen, arXiv 2205.11487, section 2.3)."""

import math
from typing import Any

import tensorflow as tf


def dynamic_threshold(image: tf.Tensor, share: float) -> tf.Tensor:
    """Images [N, H, W, C], in units where pixels lie in [-1, 1], brought into that range.

    With s the quantile of an image's absolute values below which this `share` of them lies, or 1 if
    that is larger: clip(image, −s, s)/s.
    """
    largest = tf.maximum(quantile(tf.abs(image), share), 1.0)
    return tf.clip_by_value(image, -largest, largest) / largest


def quantile(values: tf.Tensor, share: float) -> tf.Tensor:
    """The quantile of each of N tensors [N, …], [N, 1, 1, 1]; linear between two neighbours.

    Of n numbers in order, it lies at the place share·(n − 1), counted from 0.
    """
    count: Any = values.shape[1:].num_elements()
    below = math.floor(share * (count - 1))
    beyond = share * (count - 1) - below
    # In falling order, which is all that ONNX has, and no more of them than needed.
    top, _ = tf.math.top_k(tf.reshape(values, [-1, count]), count - below)
    low, high = top[:, -1], top[:, -2] if beyond else top[:, -1]
    return tf.reshape(low + beyond * (high - low), [-1, 1, 1, 1])
