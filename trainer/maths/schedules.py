"""Noise schedules: how much image and how much noise x_t holds at time t.

x_t = signal(t)·x_0 + noise(t)·ε; t = 0 is the cleanest image, t = 1 is noise (DDPM, arXiv
2006.11239). signal² + noise² = 1 except where a schedule is `straight`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from ..config import ALL_SCHEDULES
from ..errors import InputError, check_choice
from .alphas_cumprod import (
    alphas_cumprod_of_betas,
    checked_alphas_cumprod,
    with_zero_terminal_snr,
)
from .continuous import CosineSchedule, EDMSchedule, FlowSchedule
from .rates import Rates
from .time_grids import grid_named

__all__ = [
    "ARRAY",
    "CosineSchedule",
    "DiscreteSchedule",
    "EDMSchedule",
    "FlowSchedule",
    "Rates",
    "Schedule",
    "as_schedule",
    "ddpm_cosine",
    "ddpm_linear",
    "make_schedule",
    "rescale_zero_terminal_snr",
    "schedule_from_alphas_cumprod",
    "schedule_from_betas",
    "schedule_of",
]

# The name of a schedule that is an array of numbers.
ARRAY = "alphas_cumprod"


@dataclass(frozen=True)
class DiscreteSchedule:
    """A DDPM schedule of T steps: time n/T stands for the integer n, and ᾱ(0) = 1.

    `alpha_bar` is ᾱ_0 … ᾱ_T, float64 [T + 1], decreasing from 1.
    """

    name: str
    alpha_bar: np.ndarray = field(repr=False)
    # The last evaluation is at n = 1.
    ends_clean: ClassVar[bool] = False
    straight: ClassVar[bool] = False

    @property
    def max_steps(self) -> int:
        """T: more sampling steps than training steps would repeat some."""
        return len(self.alpha_bar) - 1

    @property
    def ends_in_noise(self) -> bool:
        """Whether no signal is left at t = 1 (arXiv 2305.08891)."""
        return self.alpha_bar[-1] == 0

    def describe(self) -> dict[str, Any]:
        """Name and parameters, as a bundle's manifest holds them; ᾱ where no name says it."""
        array = {ARRAY: self.alpha_bar[1:].tolist()} if self.name == ARRAY else {}
        return {"name": self.name, "steps": self.max_steps, **array}

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
        with np.errstate(divide="ignore"):
            ratio = np.sqrt(1 / self.alpha_bar - 1)
        index = grid_named(time_grid, "_index")(step, steps, ratio)
        return tf.cast(tf.maximum(index, steps - step), tf.float32) / float(self.max_steps)

    def training_time(self, uniform: tf.Tensor) -> tf.Tensor:
        """n/T with n drawn from 1 … T."""
        total = float(self.max_steps)
        return (tf.floor(uniform * total) + 1.0) / total


Schedule = CosineSchedule | DiscreteSchedule | FlowSchedule | EDMSchedule


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


def schedule_from_alphas_cumprod(alphas_cumprod: Any) -> DiscreteSchedule:
    """The schedule whose timesteps n = 1 … T have ᾱ_n = `alphas_cumprod[n − 1]`.

    `alphas_cumprod` are 2 to 10,000 floats below 1, each less than the one before and above 0; the
    last may be 0. Raises InputError for others.
    """
    alphas = checked_alphas_cumprod(alphas_cumprod)
    return DiscreteSchedule(ARRAY, np.concatenate([[1.0], alphas]))


def schedule_from_betas(betas: Any) -> DiscreteSchedule:
    """The schedule whose timesteps n = 1 … T have β_n = `betas[n − 1]`, so that ᾱ_n = Π(1 − β).

    `betas` are 2 to 10,000 floats above 0 and below 1; the last may be 1. Raises InputError for
    others.
    """
    return schedule_from_alphas_cumprod(alphas_cumprod_of_betas(betas))


def rescale_zero_terminal_snr(schedule: DiscreteSchedule) -> DiscreteSchedule:
    """The schedule with no signal left at the last timestep (arXiv 2305.08891, algorithm 1).

    For a network that was trained so; it must predict the velocity or the image.
    """
    return schedule_from_alphas_cumprod(with_zero_terminal_snr(schedule.alpha_bar[1:]))


def make_schedule(
    name: str, max_signal_rate: float = 0.95, min_signal_rate: float = 0.02
) -> Schedule:
    """The schedule of this name; the rates are for the cosine schedule.

    Raises InputError for a name that is not one of `ALL_SCHEDULES`.
    """
    check_choice("schedule", name, ALL_SCHEDULES)
    if name == "cosine":
        return CosineSchedule(max_signal_rate, min_signal_rate)
    others = {"ddpm_linear": ddpm_linear, "ddpm_cosine": ddpm_cosine, "flow": FlowSchedule}
    return {**others, "edm": EDMSchedule}[name]()


def schedule_of(description: Mapping[str, Any]) -> Schedule:
    """The schedule that `describe` describes, as a bundle's manifest holds it."""
    name, numbers = description["name"], {k: v for k, v in description.items() if k != "name"}
    if name == ARRAY:
        return schedule_from_alphas_cumprod(numbers[ARRAY])
    kinds = {"cosine": CosineSchedule, "edm": EDMSchedule, "flow": FlowSchedule}
    if name in kinds:
        return kinds[name](**numbers)
    return {"ddpm_linear": ddpm_linear, "ddpm_cosine": ddpm_cosine}[name](numbers["steps"])


def as_schedule(schedule: Schedule | str | None) -> Schedule:
    """A schedule from a schedule, its name, or None, which stands for `CosineSchedule()`.

    Raises InputError for anything else.
    """
    if isinstance(schedule, str):
        return make_schedule(schedule)
    if schedule is not None and not isinstance(schedule, Schedule):
        raise InputError(
            f"schedule: got {type(schedule).__name__}, expected {', '.join(ALL_SCHEDULES)}, or an "
            "array's schedule_from_alphas_cumprod or schedule_from_betas"
        )
    return schedule or CosineSchedule()
