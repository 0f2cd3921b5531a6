"""Time grids: the times t_0 … t_K at which a sampler of K steps asks the network.

A grid is two functions. `NAME` gives t_k in continuous time, float32 []. `NAME_index` gives the
integer n of a discrete schedule of T training steps, int64 [], with t_k = n/T. Both start at 1 and
end at 0. `step` is k = 0 … K and `steps` is K, both int64 []; u = 1 − k/K is what remains. `angles`
are arctan(noise/signal) at t = 0 and at t = 1, between which time is linear; `ratio` is
noise/signal at n = 0 … T, float64 [T + 1].
"""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ..config import TIME_GRIDS
from ..errors import check_choice

Angles = tuple[float, float]

# The ρ that Karras et al. chose (arXiv 2206.00364, section 3).
KARRAS_RHO = 7


def grid_named(name: str, suffix: str = "") -> Callable[..., tf.Tensor]:
    """A grid's function NAME, or NAME_index for that suffix; InputError for an unknown name."""
    check_choice("time_grid", name, TIME_GRIDS)
    return globals()[name + suffix]


def linear(step: tf.Tensor, steps: tf.Tensor, _: Angles | None = None) -> tf.Tensor:
    """t_k = u (DDIM, arXiv 2010.02502, section 4.2, in continuous time)."""
    return 1.0 - tf.cast(step, tf.float32) / tf.cast(steps, tf.float32)


def linear_index(step: tf.Tensor, steps: tf.Tensor, ratio: np.ndarray) -> tf.Tensor:
    """n = round(u·T), "trailing" spacing (arXiv 2305.08891, table 2)."""
    return rounded_quotient((steps - step) * _training_steps(ratio), steps)


def linspace(step: tf.Tensor, steps: tf.Tensor, _: Angles) -> tf.Tensor:
    """t_k = 1 − k/(K − 1), then 0: the last evaluation is at t = 0 (arXiv 2305.08891, table 2)."""
    return tf.maximum(linear(step, tf.maximum(steps - 1, 1)), 0.0)


def linspace_index(step: tf.Tensor, steps: tf.Tensor, ratio: np.ndarray) -> tf.Tensor:
    """n = 1 + round((1 − k/(K − 1))·(T − 1)), then 0: evaluations are spread evenly from T to 1."""
    last = tf.maximum(steps - 1, 1)
    inner = rounded_quotient((last - step) * (_training_steps(ratio) - 1), last)
    return tf.where(steps - step > 0, 1 + inner, 0)


def quadratic(step: tf.Tensor, steps: tf.Tensor, _: Angles) -> tf.Tensor:
    """t_k = u² (DDIM, arXiv 2010.02502, appendix D.2)."""
    return tf.square(linear(step, steps))


def quadratic_index(step: tf.Tensor, steps: tf.Tensor, ratio: np.ndarray) -> tf.Tensor:
    """n = round(u²·T)."""
    left = steps - step
    return rounded_quotient(left * left * _training_steps(ratio), steps * steps)


def karras(step: tf.Tensor, steps: tf.Tensor, angles: Angles) -> tf.Tensor:
    """The time where σ = noise/signal is (u·σ_1^(1/ρ) + (1 − u)·σ_0^(1/ρ))^ρ.

    σ_0 and σ_1 are the ratios at t = 0 and t = 1 (arXiv 2206.00364, equation 5).
    """
    start, end = angles
    low, high = (math.tan(angle) ** (1 / KARRAS_RHO) for angle in angles)
    ratio = (low + linear(step, steps) * (high - low)) ** KARRAS_RHO
    return tf.clip_by_value((tf.atan(ratio) - start) / (end - start), 0.0, 1.0)


def karras_index(step: tf.Tensor, steps: tf.Tensor, ratio: np.ndarray) -> tf.Tensor:
    """The n whose noise/signal is nearest to u^ρ times the ratio at T: equation 5 with σ_0 = 0."""
    # In float64, so that rounding does not make one host choose another neighbour.
    halfway = tf.constant((ratio[1:] + ratio[:-1]) / 2)
    share = tf.cast(steps - step, tf.float64) / tf.cast(steps, tf.float64)
    return tf.reduce_sum(tf.cast(halfway < share**KARRAS_RHO * ratio[-1], tf.int64))


def _training_steps(ratio: np.ndarray) -> tf.Tensor:
    return tf.constant(len(ratio) - 1, tf.int64)


def rounded_quotient(whole: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    """whole/part to the nearest integer, halves up; int64 throughout, without floats."""
    # An integer division by zero would end the process that runs the graph.
    return (2 * whole + part) // tf.maximum(2 * part, 1)
