"""Solvers: from x at one noise level, with the network's estimates, to x at the next level.

One solver is one function, whose name `config.SOLVERS` lists. It takes the noise levels around the
step, x with the network's estimates, the tensors it carries from step to step, and fresh noise if
it uses any. It returns x at the next level and the carried tensors. `@solver` declares these; each
has the shape of x and starts at zero.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from ..config import SOLVERS
from ..errors import check_choice
from .schedules import Rates

State = dict[str, tf.Tensor]

# What is taken for the signal rate where no signal is left, so that its logarithm is finite.
LEAST_SIGNAL_RATE = 1e-30


class Stage(NamedTuple):
    """Rates, float32 [], at t_{k−1} (t_0 at first), t_k and t_{k+1}; whether k is first or last.

    No signal rate is 0. A step after one that began without signal counts as first too.
    """

    previous: Rates
    current: Rates
    following: Rates
    first: tf.Tensor
    last: tf.Tensor


class Estimate(NamedTuple):
    """x at t_k with x̂_0 and ε̂ in it, each float32 [N, H, W, C]."""

    noisy: tf.Tensor
    image: tf.Tensor
    noise: tf.Tensor


class Solver(NamedTuple):
    """A step function, the names of its carried tensors, and whether it can use fresh noise.

    `second_order` is the number a_k of its inner steps as a table has it (`tables.py`), None for a
    solver that is no table.
    """

    update: Callable[..., tuple[tf.Tensor, State]]
    second_order: float | None
    carried: tuple[str, ...]
    stochastic: bool


def solver(
    *,
    second_order: float | None = None,
    carried: tuple[str, ...] = (),
    stochastic: bool = False,
) -> Callable[..., Solver]:
    """Make a step function a `Solver`."""
    return lambda update: Solver(update, second_order, carried, stochastic)


def solver_named(name: str) -> Solver:
    """The solver of this name; InputError for a name that is not one of `config.SOLVERS`."""
    check_choice("solver", name, SOLVERS)
    return globals()[name]


@solver(second_order=0.0, stochastic=True)
def ddim(
    at: Stage,
    estimate: Estimate,
    carried: State,
    *,
    eta: float = 0.0,
    fresh_noise: tf.Tensor | None = None,
    variance_fraction: tf.Tensor | None = None,
    variance_preserving: bool = True,
) -> tuple[tf.Tensor, State]:
    """x_s = signal(s)·x̂_0 + √(noise(s)² − σ²)·ε̂ + σ·z (DDIM, arXiv 2010.02502, equation 12).

    σ = η·noise(s)/noise(t)·√(1 − (signal(t)/signal(s))²), equation 16; `fresh_noise` is z,
    required unless `eta` is 0. η = 1 is DDPM's ancestral step (arXiv 2006.11239, algorithm 2).
    Unless `variance_preserving`, which is signal² + noise² = 1, the root is of noise(t)² −
    (noise(s)·signal(t)/signal(s))², to which that is equal.

    σ² at η = 1 is β̃, the variance of q(x_s | x_t, x_0), and that of q(x_t | x_s) is β =
    β̃·(noise(t)/noise(s))². With a `variance_fraction` v [N, H, W, C], the variance of σ·z alone
    is exp(v·ln β + (1 − v)·ln β̃) (Improved DDPM, arXiv 2102.09672, equation 15).
    """
    t, s = at.current, at.following
    if eta == 0:
        return s.signal * estimate.image + s.noise * estimate.noise, carried
    if fresh_noise is None:
        raise ValueError(f"fresh_noise=None: expected noise like x, since eta is {eta:g}")
    # Without the cancellation of squares that are nearly equal.
    if variance_preserving:
        variance = (s.signal - t.signal) * (s.signal + t.signal) / tf.square(s.signal)
    else:
        kept = s.noise * t.signal / s.signal
        variance = (t.noise - kept) * (t.noise + kept)
    sigma = eta * s.noise / t.noise * tf.sqrt(tf.maximum(variance, 0.0))
    direct = tf.sqrt(tf.maximum((s.noise - sigma) * (s.noise + sigma), 0.0))
    if variance_fraction is not None:
        # Without noise at s, which only the last step reaches, σ is 0 and stays so.
        ratio = t.noise / tf.where(s.noise > 0.0, s.noise, t.noise)
        sigma *= tf.exp(variance_fraction * tf.math.log(ratio))
    return s.signal * estimate.image + direct * estimate.noise + sigma * fresh_noise, carried


@solver(second_order=1.0, carried=("previous_image",))
def dpmpp_2m(at: Stage, estimate: Estimate, carried: State) -> tuple[tf.Tensor, State]:
    """One step of DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2): second order, one evaluation.

    With λ = ln(signal/noise) and h = λ_s − λ_t,
    x_s = noise(s)/noise(t)·x_t + signal(s)·(1 − e^−h)·D,
    D = x̂_0 + h/(2·h_previous)·(x̂_0 − previous x̂_0); the first and the last step have D = x̂_0, and
    so has the second where no signal is left at t = 1, for h_previous is infinite.
    """
    t, s = at.current, at.following
    slope = tf.math.divide_no_nan(log_snr_step(t, s), 2.0 * log_snr_step(at.previous, t))
    slope = tf.where(at.first | at.last, 0.0, slope)
    image = estimate.image + slope * (estimate.image - carried["previous_image"])
    shrink = s.noise / t.noise
    gain = s.signal - t.signal * shrink  # signal(s)·(1 − e^−h)
    return shrink * estimate.noisy + gain * image, {"previous_image": estimate.image}


def with_signal(rates: Rates) -> Rates:
    """The rates with a signal rate of at least `LEAST_SIGNAL_RATE`."""
    return Rates(tf.maximum(rates.signal, LEAST_SIGNAL_RATE), rates.noise)


def log_snr_step(t: Rates, s: Rates) -> tf.Tensor:
    """h = λ_s − λ_t, at most about 80 where s has no noise."""
    return tf.math.log(s.signal / t.signal) + tf.math.log(t.noise / tf.maximum(s.noise, 1e-30))
