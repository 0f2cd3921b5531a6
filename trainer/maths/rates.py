"""How much of x_t is image, and how much noise."""

from typing import NamedTuple

import tensorflow as tf


class Rates(NamedTuple):
    """Signal and noise rate, float32 tensors of one shape."""

    signal: tf.Tensor
    noise: tf.Tensor
