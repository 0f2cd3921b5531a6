"""Parts of a sampler in forms that LiteRT has operators for, while a function is traced.

LiteRT cannot divide int64, compute in float64, take an arctangent of one number, choose between
bytes, or take some bits of a number. Each form gives the numbers of what it replaces. The graphs of
ONNX keep the others.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ...trainer.maths import time_grids
from ..baking import noise
from ..graphs.translation.lowering import replaced

# The bits of a fraction in `_karras_index`: times 10,000 steps it still fits into int64.
_FRACTION_BITS = 40


def in_litert_forms() -> contextlib.AbstractContextManager[None]:
    """Have functions trace in LiteRT's forms, in this thread and no other meanwhile."""
    return replaced(
        (noise, "right_shift", _right_shift),
        (time_grids, "rounded_quotient", _rounded_quotient),
        (time_grids, "karras_index", _karras_index),
        (tf, "atan", _atan),
        (tf, "where", _where),
        (tf.Tensor, "__gt__", _greater),
    )


def _right_shift(_: Callable, x: tf.Tensor, bits: int) -> tf.Tensor:
    shifted = tf.bitwise.right_shift(tf.cast(x, tf.uint32), tf.constant(bits, tf.uint32))
    return tf.cast(shifted, tf.int32)


def _rounded_quotient(_: Callable, whole: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    """(2·whole + part) div 2·part, as multiple/divisor in float32.

    That is next to a whole number of at most 10,000 timesteps, and so rounds to it.
    """
    divisor = tf.maximum(2 * part, 1)
    dividend = 2 * whole + part
    multiple = dividend - tf.math.floormod(dividend, divisor)
    quotient = tf.cast(multiple, tf.float32) / tf.cast(divisor, tf.float32)
    return tf.cast(tf.round(quotient), tf.int64)


def _karras_index(_: Callable, step: tf.Tensor, steps: tf.Tensor, ratio: np.ndarray) -> tf.Tensor:
    """The number of n with (halfway/ratio_T)^(1/ρ) < u, both sides times steps and 2^40."""
    halfway = (ratio[1:] + ratio[:-1]) / 2
    shares = (halfway / ratio[-1]) ** (1 / time_grids.KARRAS_RHO)
    whole = tf.constant(np.floor(shares * 2**_FRACTION_BITS), tf.int64)
    below = whole * steps < (steps - step) * 2**_FRACTION_BITS
    return tf.reduce_sum(tf.cast(below, tf.int64))


def _atan(_: Callable, x: tf.Tensor) -> tf.Tensor:
    return tf.atan2(x, tf.ones_like(x))


def _where(original: Callable, condition: Any, x: Any = None, y: Any = None) -> tf.Tensor:
    if isinstance(x, tf.Tensor) and x.dtype == tf.uint8:
        chosen = original(condition, tf.cast(x, tf.int32), tf.cast(y, tf.int32))
        return tf.cast(chosen, tf.uint8)
    return original(condition, x, y)


def _greater(original: Callable, x: tf.Tensor, y: Any) -> tf.Tensor:
    return original(tf.cast(x, tf.int32) if x.dtype == tf.uint8 else x, y)
