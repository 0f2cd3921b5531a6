"""The conventions of networks once more, in float64: what they are shown and told, and put out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .reference_noise import Array
from .reference_schedules import unknown


@dataclass(frozen=True)
class NetworkReference:
    """A network by the entries of a manifest; x is signal·x_0 + sigma·ε."""

    schedule: Mapping[str, Any]
    prediction: str
    conditioning: str
    first_timestep: int

    def condition(self, time: float, signal: float, sigma: float) -> float:
        """The number that the network is told."""
        values: dict[str, Callable[[], float]] = {
            "time": lambda: time,
            "timestep": lambda: self._timestep(time),
            "noise_variance": lambda: sigma**2,
            "noise_rate": lambda: sigma,
            "log_snr": lambda: math.log(signal**2 / sigma**2),
            "sigma": lambda: sigma / signal,
            "c_noise": lambda: math.log(sigma / signal) / 4,
        }
        if self.conditioning not in values:
            raise unknown("conditioning", self.conditioning)
        return values[self.conditioning]()

    def shown(self, x: Array, signal: float, sigma: float) -> Array:
        """The images that the network is shown (EDM, arXiv 2206.00364, equation 7)."""
        if self._name != "edm":
            return x
        scale = self._edm(sigma / signal)[0] if self.prediction == "edm" else 1.0
        return scale * x / signal

    def split(self, output: Array, x: Array, signal: float, sigma: float) -> tuple[Array, Array]:
        """(x̂_0, ε̂) of the network's output (velocity: arXiv 2202.00512; of a flow, ε − x_0)."""
        if self.prediction == "noise":
            return (x - sigma * output) / signal, output
        if self.prediction == "velocity" and self._name == "flow":
            return x - sigma * output, x + signal * output
        if self.prediction == "velocity":
            return signal * x - sigma * output, sigma * x + signal * output
        if self.prediction == "edm":
            _, c_skip, c_out = self._edm(sigma / signal)
            output = c_skip * x / signal + c_out * output
        elif self.prediction != "image":
            raise unknown("prediction", self.prediction)
        return output, noise_between(x, output, signal, sigma)

    @property
    def _name(self) -> str:
        return self.schedule["name"]

    def _timestep(self, time: float) -> float:
        if self._name == "flow":
            return 1000 * time
        return max(round(time * self.schedule["steps"]) - 1 + self.first_timestep, 0)

    def _edm(self, sigma: float) -> tuple[float, float, float]:
        """c_in, c_skip and c_out (arXiv 2206.00364, table 1)."""
        data = self.schedule["sigma_data"]
        total = sigma**2 + data**2
        return 1 / math.sqrt(total), data**2 / total, sigma * data / math.sqrt(total)


def noise_between(x: Array, image: Array, signal: float, sigma: float) -> Array:
    """ε of x = signal·x_0 + sigma·ε; 0 where there is none."""
    return (x - signal * image) / sigma if sigma > 0 else np.zeros_like(x)
