"""Seeds of a run's random numbers: each depends only on the run's seed, a purpose and a step."""

import zlib

import tensorflow as tf

NOISE, TIME, FLIP, EVAL_NOISE, EVAL_TIME, PREVIEW, KID_NOISE, LABEL = range(8)


def stream_seed(seed: int, purpose: int, step: tf.Tensor) -> tf.Tensor:
    """The seed int64 [2] for TensorFlow's stateless random functions; `step` is int64 []."""
    return tf.stack([tf.constant(seed, tf.int64), 8 * step + purpose])


def named_seed(seed: int, name: str, step: tf.Tensor) -> tf.Tensor:
    """The seed int64 [2] of a stream that has a name; `step` is int64 [].

    The first number is above all seeds of runs, which have 31 bits, and so of the streams above.
    """
    key = zlib.crc32(name.encode()) << 31 | seed
    return tf.stack([tf.constant(key, tf.int64), step])
