"""Noise schedules and time grids once more, in float64 from the papers' equations.

x_t = signal·x_0 + noise·ε. A grid of `steps` steps is the times t_0 = 1 … t_steps = 0.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...trainer.errors import InputError

# The ρ of Karras et al. (arXiv 2206.00364, section 3).
RHO = 7


def unknown(setting: str, value: object) -> InputError:
    """The error for a name that the reference does not implement."""
    return InputError(
        f"{setting}={value}: expected one that the float64 reference implements; write it in "
        "export/proof first"
    )


@dataclass(frozen=True)
class CosineReference:
    """signal = cos(angle) and noise = sin(angle), with an angle from `start` to `end`."""

    start: float
    end: float

    def rates(self, time: float) -> tuple[float, float]:
        """Signal and noise rate at a time in [0, 1]."""
        angle = (1 - time) * self.start + time * self.end
        return math.cos(angle), math.sin(angle)

    def levels(self, time_grid: str, steps: int) -> list[float]:
        """The times t_0 … t_steps of a grid; InputError for an unknown one."""
        left = [1 - k / steps for k in range(steps + 1)]
        grids: dict[str, list[float]] = {
            "linear": left,
            "linspace": [*np.linspace(1, 0, steps).tolist(), 0.0],
            "quadratic": [u**2 for u in left],
            "karras": [self._karras(u) for u in left],
        }
        if time_grid not in grids:
            raise unknown("time_grid", time_grid)
        return grids[time_grid]

    def _karras(self, left: float) -> float:
        """The time where noise/signal is as in arXiv 2206.00364, equation 5."""
        low, high = math.tan(self.start) ** (1 / RHO), math.tan(self.end) ** (1 / RHO)
        ratio = (left * high + (1 - left) * low) ** RHO
        return (math.atan(ratio) - self.start) / (self.end - self.start)


@dataclass(frozen=True)
class DiscreteReference:
    """signal² = ᾱ_n at time n/T, for ᾱ_0 … ᾱ_T float64 [T + 1]."""

    alpha_bar: np.ndarray

    def rates(self, time: float) -> tuple[float, float]:
        """Signal and noise rate at a time in [0, 1]."""
        alpha_bar = self.alpha_bar[round(time * (len(self.alpha_bar) - 1))]
        return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)

    def levels(self, time_grid: str, steps: int) -> list[float]:
        """The times t_0 … t_steps of a grid; InputError for an unknown one."""
        total, left = len(self.alpha_bar) - 1, range(steps, -1, -1)
        return [max(self._index(time_grid, m, steps), m) / total for m in left]

    def _index(self, time_grid: str, left: int, steps: int) -> int:
        """The integer nearest to the grid's time or, for `karras`, noise/signal; halves go up."""
        total, last = len(self.alpha_bar) - 1, max(steps - 1, 1)
        if time_grid == "linear":
            return (2 * left * total + steps) // (2 * steps)
        if time_grid == "linspace":
            return 1 + (2 * (left - steps + last) * (total - 1) + last) // (2 * last) if left else 0
        if time_grid == "quadratic":
            return (2 * left**2 * total + steps**2) // (2 * steps**2)
        if time_grid == "karras":
            ratio = np.sqrt(1 / self.alpha_bar - 1)
            return int(np.argmin(np.abs(ratio - (left / steps) ** RHO * ratio[-1])))
        raise unknown("time_grid", time_grid)


@dataclass(frozen=True)
class FlowReference:
    """x_t = (1 − t)·x_0 + t·ε (arXiv 2209.03003)."""

    def rates(self, time: float) -> tuple[float, float]:
        """Signal and noise rate at a time in [0, 1]."""
        return 1 - time, time

    def levels(self, time_grid: str, steps: int) -> list[float]:
        """The times t_0 … t_steps of a grid; InputError for an unknown one."""
        if time_grid == "karras":
            raise unknown("time_grid", time_grid)
        return CosineReference(0, math.pi / 2).levels(time_grid, steps)


@dataclass(frozen=True)
class EDMReference:
    """x_0 + σ·ε (arXiv 2206.00364) over √(1 + σ²), with a time in which σ^(1/ρ) is linear."""

    sigma_min: float
    sigma_max: float

    def rates(self, time: float) -> tuple[float, float]:
        """Signal and noise rate at a time in [0, 1]."""
        high, low = self.sigma_max ** (1 / RHO), self.sigma_min ** (1 / RHO)
        sigma = (time * high + (1 - time) * low) ** RHO
        return 1 / math.sqrt(1 + sigma**2), sigma / math.sqrt(1 + sigma**2)

    def levels(self, time_grid: str, steps: int) -> list[float]:
        """The times t_0 … t_steps of a grid; InputError for an unknown one."""
        name = "linear" if time_grid == "karras" else time_grid
        return CosineReference(0, 1).levels(name, steps)


Reference = CosineReference | DiscreteReference | FlowReference | EDMReference


def float32_time(time_grid: str, step: int, steps: int) -> float | None:
    """t_k of a continuous grid as float32 rounds it, None where that is not known.

    It may be another float32 than the nearest to t_k, and on the other side of a jump.
    """
    last = steps - 1 if time_grid == "linspace" else steps
    left = np.float32(1) - np.float32(step) / np.float32(max(last, 1))
    left = max(left, np.float32(0))
    return {"linear": float(left), "linspace": float(left), "quadratic": float(left * left)}.get(
        time_grid
    )


def reference_schedule(description: Mapping[str, Any]) -> Reference:
    """The schedule that a manifest describes; InputError for an unknown one."""
    name = description["name"]
    if name == "flow":
        return FlowReference()
    if name == "edm":
        return EDMReference(description["sigma_min"], description["sigma_max"])
    if name == "cosine":
        rates = description["max_signal_rate"], description["min_signal_rate"]
        return CosineReference(*map(math.acos, rates))
    if name == "alphas_cumprod":
        return DiscreteReference(np.array([1.0, *description["alphas_cumprod"]]))
    betas = {"ddpm_linear": _linear_beta, "ddpm_cosine": _cosine_beta}
    if name not in betas:
        raise unknown("schedule", name)
    beta = betas[name](description["steps"])
    return DiscreteReference(np.concatenate([[1.0], np.cumprod(1 - beta)]))


def _linear_beta(total: int) -> np.ndarray:
    """arXiv 2006.11239, section 4."""
    n = np.arange(1, total + 1)
    return 1e-4 + (0.02 - 1e-4) * (n - 1) / (total - 1)


def _cosine_beta(total: int) -> np.ndarray:
    """arXiv 2102.09672, equation 17."""
    n = np.arange(1, total + 1)
    after, before = (np.cos((m / total + 0.008) / 1.008 * math.pi / 2) ** 2 for m in (n, n - 1))
    return np.minimum(1 - after / before, 0.999)
