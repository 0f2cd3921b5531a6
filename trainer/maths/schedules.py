"""Noise schedules: how much image and how much noise x_t holds at time t.

x_t = signal(t)·x_0 + noise(t)·ε with signal² + noise² = 1; t = 0 is the cleanest image, t = 1
is noise (DDPM, arXiv 2006.11239; continuous time as in Salimans and Ho, arXiv 2202.00512).
"""

import math
from dataclasses import asdict, dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from ..config import SCHEDULES, check_signal_rates
from ..errors import check_choice
from .time_grids import grid_named


class Rates(NamedTuple):
    """Signal and noise rate, float32 tensors of one shape."""

    signal: tf.Tensor
    noise: tf.Tensor


@dataclass(frozen=True)
class CosineSchedule:
    """angle = (1 − t)·arccos(max_signal_rate) + t·arccos(min_signal_rate), signal = cos(angle)."""

    max_signal_rate: float = 0.95
    min_signal_rate: float = 0.02
    # Time is continuous, but beyond a thousand steps no pixel changes.
    max_steps: ClassVar[int] = 1000

    def __post_init__(self) -> None:
        check_signal_rates(self.max_signal_rate, self.min_signal_rate)

    def rates(self, time: tf.Tensor) -> Rates:
        """The rates at `time`, which lies in [0, 1]."""
        start, end = self._angles
        angle = start + time * (end - start)
        return Rates(tf.cos(angle), tf.sin(angle))

    def grid_time(self, step: tf.Tensor, steps: tf.Tensor, time_grid: str = "linear") -> tf.Tensor:
        """t_k of a grid of `TIME_GRIDS`, float32 []; InputError for an unknown grid."""
        return grid_named(time_grid)(step, steps, self._angles)

    def training_time(self, uniform: tf.Tensor) -> tf.Tensor:
        """Times uniform in [0, 1)."""
        return uniform

    @property
    def _angles(self) -> tuple[float, float]:
        return math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)

    def describe(self) -> dict[str, str | float]:
        """Name and parameters, as a bundle's manifest holds them."""
        return {"name": "cosine", **asdict(self)}


@dataclass(frozen=True)
class DiscreteSchedule:
    """A DDPM schedule of T steps: time n/T stands for the integer n, and ᾱ(0) = 1.

    `alpha_bar` is ᾱ_0 … ᾱ_T, float64 [T + 1], decreasing from 1.
    """

    name: str
    alpha_bar: np.ndarray = field(repr=False)

    @property
    def max_steps(self) -> int:
        """T: more sampling steps than training steps would repeat some."""
        return len(self.alpha_bar) - 1

    def describe(self) -> dict[str, str | float]:
        """Name and parameters, as a bundle's manifest holds them."""
        return {"name": self.name, "steps": self.max_steps}

    def timestep(self, time: tf.Tensor) -> tf.Tensor:
        """n = round(time·T), float32."""
        return tf.round(time * float(self.max_steps))

    def rates(self, time: tf.Tensor) -> Rates:
        """signal = √ᾱ_n and noise = √(1 − ᾱ_n) at n = round(time·T), float32."""
        index = tf.cast(self.timestep(time), tf.int32)
        signal = tf.constant(np.sqrt(self.alpha_bar), tf.float32)
        noise = tf.constant(np.sqrt(1 - self.alpha_bar), tf.float32)
        return Rates(tf.gather(signal, index), tf.gather(noise, index))

    def grid_time(self, step: tf.Tensor, steps: tf.Tensor, time_grid: str = "linear") -> tf.Tensor:
        """n/T of a grid of `TIME_GRIDS`, float32 []; InputError for an unknown grid.

        n is at least K − k: a grid finer than the integers would reach 0 before the end.
        """
        index = grid_named(time_grid, "_index")(step, steps, np.sqrt(1 / self.alpha_bar - 1))
        return tf.cast(tf.maximum(index, steps - step), tf.float32) / float(self.max_steps)

    def training_time(self, uniform: tf.Tensor) -> tf.Tensor:
        """n/T with n drawn from 1 … T."""
        total = float(self.max_steps)
        return (tf.floor(uniform * total) + 1.0) / total


Schedule = CosineSchedule | DiscreteSchedule


def ddpm_linear(total_steps: int = 1000) -> DiscreteSchedule:
    """β from 1e-4 to 0.02 in equal steps (arXiv 2006.11239, section 4)."""
    beta = np.linspace(1e-4, 0.02, total_steps)
    return DiscreteSchedule("ddpm_linear", np.concatenate([[1.0], np.cumprod(1 - beta)]))


def ddpm_cosine(total_steps: int = 1000) -> DiscreteSchedule:
    """ᾱ_n ∝ cos²((n/T + 0.008)/1.008 · π/2), β_n at most 0.999 (arXiv 2102.09672, equation 17)."""
    angle = (np.arange(total_steps + 1) / total_steps + 0.008) / 1.008 * math.pi / 2
    ideal = np.cos(angle) ** 2
    beta = np.minimum(1 - ideal[1:] / ideal[:-1], 0.999)
    return DiscreteSchedule("ddpm_cosine", np.concatenate([[1.0], np.cumprod(1 - beta)]))


def make_schedule(
    name: str, max_signal_rate: float = 0.95, min_signal_rate: float = 0.02
) -> Schedule:
    """The schedule of this name; the rates are for the cosine schedule.

    Raises InputError for a name that is not one of `SCHEDULES`.
    """
    check_choice("schedule", name, SCHEDULES)
    if name == "cosine":
        return CosineSchedule(max_signal_rate, min_signal_rate)
    return {"ddpm_linear": ddpm_linear, "ddpm_cosine": ddpm_cosine}[name]()
