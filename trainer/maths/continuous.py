"""Noise schedules in continuous time (as in Salimans and Ho, arXiv 2202.00512)."""

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import tensorflow as tf

from ..config import check_sigmas, check_signal_rates
from .rates import Rates
from .time_grids import KARRAS_RHO, grid_named


@dataclass(frozen=True)
class CosineSchedule:
    """angle = (1 − t)·arccos(max_signal_rate) + t·arccos(min_signal_rate), signal = cos(angle)."""

    max_signal_rate: float = 0.95
    min_signal_rate: float = 0.02
    # Time is continuous, but beyond a thousand steps no pixel changes.
    max_steps: ClassVar[int] = 1000
    ends_in_noise: ClassVar[bool] = False
    straight: ClassVar[bool] = False

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
    def ends_clean(self) -> bool:
        """Whether no noise is left at t = 0."""
        return self.max_signal_rate == 1

    @property
    def _angles(self) -> tuple[float, float]:
        return math.acos(self.max_signal_rate), math.acos(self.min_signal_rate)

    def describe(self) -> dict[str, Any]:
        """Name and parameters, as a bundle's manifest holds them."""
        return {"name": "cosine", **asdict(self)}


@dataclass(frozen=True)
class FlowSchedule:
    """signal = 1 − t and noise = t: x_t moves on a straight line from the image to the noise.

    That is rectified flow (arXiv 2209.03003) and flow matching with linear paths (arXiv
    2210.02747). The velocity is dx_t/dt = ε − x_0.
    """

    max_steps: ClassVar[int] = 1000
    ends_in_noise: ClassVar[bool] = True
    ends_clean: ClassVar[bool] = True
    straight: ClassVar[bool] = True

    def rates(self, time: tf.Tensor) -> Rates:
        """The rates at `time`, which lies in [0, 1]."""
        return Rates(1.0 - time, time)

    def timestep(self, time: tf.Tensor) -> tf.Tensor:
        """1000·t, as networks of flows in latent space are told."""
        return 1000.0 * time

    def grid_time(self, step: tf.Tensor, steps: tf.Tensor, time_grid: str = "linear") -> tf.Tensor:
        """t_k of a grid of `TIME_GRIDS` except `karras`; InputError for an unknown grid."""
        return grid_named(time_grid)(step, steps, (0.0, math.pi / 2))

    def training_time(self, uniform: tf.Tensor) -> tf.Tensor:
        """Times uniform in [0, 1)."""
        return uniform

    def describe(self) -> dict[str, Any]:
        """The name, as a bundle's manifest holds it."""
        return {"name": "flow"}


@dataclass(frozen=True)
class EDMSchedule:
    """σ = noise/signal from `sigma_max` at t = 1 to `sigma_min` at t = 0 (arXiv 2206.00364).

    σ^(1/7) is linear in time, so that the grid `linspace` is EDM's (equation 5, ρ = 7). x_t is
    EDM's x_0 + σ·ε, scaled so that signal² + noise² = 1. `sigma_data` is the standard deviation of
    images in the network's preconditioning.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    max_steps: ClassVar[int] = 1000
    ends_in_noise: ClassVar[bool] = False
    ends_clean: ClassVar[bool] = False
    straight: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_sigmas(self.sigma_min, self.sigma_max, self.sigma_data)

    def rates(self, time: tf.Tensor) -> Rates:
        """The rates at `time`, which lies in [0, 1]."""
        low, high = (sigma ** (1 / KARRAS_RHO) for sigma in (self.sigma_min, self.sigma_max))
        sigma = tf.pow(low + time * (high - low), float(KARRAS_RHO))
        signal = tf.math.rsqrt(1.0 + tf.square(sigma))
        return Rates(signal, sigma * signal)

    def time_of(self, sigma: float) -> float:
        """The time of a σ."""
        low, high, root = (
            each ** (1 / KARRAS_RHO) for each in (self.sigma_min, self.sigma_max, sigma)
        )
        return (root - low) / (high - low)

    def grid_time(self, step: tf.Tensor, steps: tf.Tensor, time_grid: str = "linear") -> tf.Tensor:
        """t_k of a grid of `TIME_GRIDS`, float32 []; InputError for an unknown grid."""
        # Time itself is what `karras` spaces evenly.
        name = "linear" if time_grid == "karras" else time_grid
        angles = math.atan(self.sigma_min), math.atan(self.sigma_max)
        return grid_named(name)(step, steps, angles)

    def training_time(self, uniform: tf.Tensor) -> tf.Tensor:
        """Times uniform in [0, 1)."""
        return uniform

    def describe(self) -> dict[str, Any]:
        """Name and parameters, as a bundle's manifest holds them."""
        return {"name": "edm", **asdict(self)}
