"""Noise schedules and time grids once more, in float64 from the papers' equations.

x_t = signal·x_0 + noise·ε. A grid of `steps` steps is the times t_0 = 1 … t_steps = 0.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

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


class ReferenceSchedule(Protocol):
    """Rates and grids of one schedule."""

    def rates(self, time: float) -> tuple[float, float]:
        """Signal and noise rate at a time in [0, 1]."""
        ...

    def levels(self, time_grid: str, steps: int) -> list[float]:
        """The times t_0 … t_steps of a grid; InputError for an unknown one."""
        ...


def reference_schedule(description: Mapping[str, Any]) -> ReferenceSchedule:
    """The schedule that a manifest describes; InputError for an unknown one."""
    match description["name"]:
        case "cosine":
            rates = description["max_signal_rate"], description["min_signal_rate"]
            return _Cosine(*map(math.acos, rates))
        case "ddpm_linear":
            return _Discrete(_alpha_bar(_linear_beta(description["steps"])))
        case "ddpm_cosine":
            return _Discrete(_alpha_bar(_cosine_beta(description["steps"])))
    raise unknown("schedule", description["name"])


@dataclass(frozen=True)
class _Cosine:
    """signal = cos(angle) and noise = sin(angle), with an angle from `start` to `end`."""

    start: float
    end: float

    def rates(self, time: float) -> tuple[float, float]:
        angle = (1 - time) * self.start + time * self.end
        return math.cos(angle), math.sin(angle)

    def levels(self, time_grid: str, steps: int) -> list[float]:
        left = [1 - k / steps for k in range(steps + 1)]
        match time_grid:
            case "linear":
                return left
            case "linspace":
                return [*np.linspace(1, 0, steps).tolist(), 0.0]
            case "quadratic":
                return [u**2 for u in left]
            case "karras":
                return [self._karras(u) for u in left]
        raise unknown("time_grid", time_grid)

    def _karras(self, left: float) -> float:
        """The time where noise/signal is as in arXiv 2206.00364, equation 5."""
        low, high = math.tan(self.start) ** (1 / RHO), math.tan(self.end) ** (1 / RHO)
        ratio = (left * high + (1 - left) * low) ** RHO
        return (math.atan(ratio) - self.start) / (self.end - self.start)


@dataclass(frozen=True)
class _Discrete:
    """signal² = ᾱ_n at time n/T, for ᾱ_0 … ᾱ_T float64 [T + 1]."""

    alpha_bar: np.ndarray

    def rates(self, time: float) -> tuple[float, float]:
        alpha_bar = self.alpha_bar[round(time * self._total)]
        return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)

    def levels(self, time_grid: str, steps: int) -> list[float]:
        left = range(steps, -1, -1)
        return [max(self._index(time_grid, m, steps), m) / self._total for m in left]

    @property
    def _total(self) -> int:
        return len(self.alpha_bar) - 1

    def _index(self, time_grid: str, left: int, steps: int) -> int:
        """The integer nearest to the grid's time or, for `karras`, noise/signal; halves go up."""
        total = self._total
        match time_grid:
            case "linear":
                return (2 * left * total + steps) // (2 * steps)
            case "linspace":
                last = max(steps - 1, 1)
                whole = 2 * (left - steps + last) * (total - 1) + last
                return 1 + whole // (2 * last) if left else 0
            case "quadratic":
                return (2 * left**2 * total + steps**2) // (2 * steps**2)
            case "karras":
                ratio = np.sqrt(1 / self.alpha_bar - 1)
                return int(np.argmin(np.abs(ratio - (left / steps) ** RHO * ratio[-1])))
        raise unknown("time_grid", time_grid)


def _linear_beta(total: int) -> np.ndarray:
    """arXiv 2006.11239, section 4."""
    n = np.arange(1, total + 1)
    return 1e-4 + (0.02 - 1e-4) * (n - 1) / (total - 1)


def _cosine_beta(total: int) -> np.ndarray:
    """arXiv 2102.09672, equation 17."""
    n = np.arange(1, total + 1)
    after, before = (np.cos((m / total + 0.008) / 1.008 * math.pi / 2) ** 2 for m in (n, n - 1))
    return np.minimum(1 - after / before, 0.999)


def _alpha_bar(beta: np.ndarray) -> np.ndarray:
    return np.concatenate([[1.0], np.cumprod(1 - beta)])
