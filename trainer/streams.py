"""Seeds of a run's random numbers: each depends only on the run's seed, a purpose and a step."""

import tensorflow as tf

NOISE, TIME, FLIP, EVAL_NOISE, EVAL_TIME, PREVIEW, KID_NOISE, LABEL = range(8)


def stream_seed(seed: int, purpose: int, step: tf.Tensor) -> tf.Tensor:
    """The seed int64 [2] for TensorFlow's stateless random functions; `step` is int64 []."""
    return tf.stack([tf.constant(seed, tf.int64), 8 * step + purpose])
