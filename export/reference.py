"""The sampler once more, independently: NumPy in float64, driving any network.

The certificate and the tests compare the baked graphs with this. It shares no code with them: the
schedules, the noise and the solver are written here from the papers' equations.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Network = Callable[[Array, Array], Array]


def reference_noise(seeds: Sequence[int], shape: tuple[int, int, int], *, stream: int = 0) -> Array:
    """Noise float64 [N, H, W, C] by the definition of version 1."""
    count = math.prod(shape)
    return np.stack([_normals(seed, count, stream).reshape(shape) for seed in seeds])


def reference_words(seed: int, count: int, *, stream: int = 0) -> tuple[Array, Array]:
    """Threefry-2x32-20 of counters (0 … count − 1, stream): two uint32 arrays [count]."""
    key = [np.uint32(seed % 2**32), np.uint32(seed // 2**32 % 2**32)]
    key.append(np.uint32(0x1BD11BDA) ^ key[0] ^ key[1])
    rotations = [13, 15, 26, 6, 17, 29, 16, 24]
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint32) + key[0]
        y = np.full(count, stream, np.uint32) + key[1]
        for turn in range(20):
            x = x + y
            bits = rotations[turn % 8]
            y = (y << np.uint32(bits) | y >> np.uint32(32 - bits)) ^ x
            if turn % 4 == 3:
                done = turn // 4 + 1
                x = x + key[done % 3]
                y = y + key[(done + 1) % 3] + np.uint32(done)
    return x, y


@dataclass(frozen=True)
class ReferenceSampler:
    """DDIM (arXiv 2010.02502, equation 12 with σ = 0) in float64.

    `network` maps float32 images [N, H, W, C] and float32 times [N] to its prediction. `schedule`
    is the name and parameters as the manifest holds them.
    """

    network: Network
    schedule: dict
    prediction: str
    pixel_mean: Sequence[float]
    pixel_std: Sequence[float]
    clip: bool

    def from_noise(self, noise: Array, steps: int) -> Array:
        """Pixels float64 [N, H, W, C] in [0, 1]."""
        x = np.asarray(noise, np.float64)
        image = x
        for k in range(steps):
            image, epsilon = self.denoise(x, self._time(k, steps))
            signal, sigma = self.rates(self._time(k + 1, steps))
            x = signal * image + sigma * epsilon
        return self.pixels(image)

    def pixels(self, image: Array) -> Array:
        """Pixels in [0, 1] of a normalised image."""
        return np.clip(image * np.asarray(self.pixel_std) + np.asarray(self.pixel_mean), 0, 1)

    def denoise(self, x: Array, time: float) -> tuple[Array, Array]:
        """(x̂_0, ε̂) at one time for all images."""
        signal, sigma = self.rates(time)
        times = np.full(len(x), time, np.float32)
        output = np.asarray(self.network(x.astype(np.float32), times), np.float64)
        if self.prediction == "noise":
            image, epsilon = (x - sigma * output) / signal, output
        elif self.prediction == "velocity":
            image, epsilon = signal * x - sigma * output, sigma * x + signal * output
        else:
            image, epsilon = output, (x - signal * output) / sigma
        if self.clip:
            mean, std = np.asarray(self.pixel_mean), np.asarray(self.pixel_std)
            image = np.clip(image, -mean / std, (1 - mean) / std)
            epsilon = (x - signal * image) / sigma
        return image, epsilon

    def _time(self, k: int, steps: int) -> float:
        if self.schedule["name"] == "cosine":
            return 1 - k / steps
        total = self.schedule["steps"]
        return math.floor((steps - k) * total / steps + 0.5) / total

    def rates(self, time: float) -> tuple[float, float]:
        """Signal and noise rate at a time in [0, 1]."""
        if self.schedule["name"] == "cosine":
            start = math.acos(self.schedule["max_signal_rate"])
            end = math.acos(self.schedule["min_signal_rate"])
            angle = (1 - time) * start + time * end
            return math.cos(angle), math.sin(angle)
        alpha_bar = self._alpha_bar(round(time * self.schedule["steps"]))
        return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)

    def _alpha_bar(self, index: int) -> float:
        total, product = self.schedule["steps"], 1.0
        for n in range(1, index + 1):
            if self.schedule["name"] == "ddpm_linear":
                beta = 1e-4 + (0.02 - 1e-4) * (n - 1) / (total - 1)
            else:
                ideal = [
                    math.cos((m / total + 0.008) / 1.008 * math.pi / 2) ** 2 for m in (n - 1, n)
                ]
                beta = min(1 - ideal[1] / ideal[0], 0.999)
            product *= 1 - beta
        return product


def _normals(seed: int, count: int, stream: int) -> Array:
    a, b = reference_words(seed, (count + 1) // 2, stream=stream)
    radius = np.sqrt(-2 * np.log((a // 256 + 1.0) / 2**24))
    angle = 2 * np.pi * (b // 256) / 2**24
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).ravel()[:count]
