"""The sampler once more, independently: NumPy in float64, driving any network.

The certificate and the tests compare the baked graphs with this. It shares no code with them: the
schedules, the grids and the solvers are written here from the papers' equations.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .reference_noise import Array, reference_noise

Network = Callable[..., Array]
Hold = Callable[[Array], Array]

_FIRST_EVALUATIONS = 8


@dataclass(frozen=True)
class ReferenceConditioning:
    """Labels int64 [N], −1 for none, and the guidance."""

    labels: Array
    guidance: float


def guided(network: Network) -> Network:
    """A network of (x, condition, labels) as one of (x, condition, class_conditioning).

    Classifier-free guidance (arXiv 2207.12598, equation 6): output without a label, and from there
    `guidance` times the way to the output with it.
    """

    def call(x: Array, condition: Array, class_conditioning: ReferenceConditioning) -> Array:
        labelled = np.asarray(network(x, condition, class_conditioning.labels), np.float64)
        if class_conditioning.guidance == 1:
            return labelled
        without = np.asarray(
            network(x, condition, np.full_like(class_conditioning.labels, -1)), np.float64
        )
        return without + class_conditioning.guidance * (labelled - without)

    return call


@dataclass(frozen=True)
class ReferenceSampler:
    """DDIM (arXiv 2010.02502) and DPM-Solver++(2M) (arXiv 2211.01095) in float64.

    `network` maps float32 images [N, H, W, C], float32 conditions [N] and, for a model of classes,
    a `ReferenceConditioning` to its prediction. `schedule` is the name and parameters as the
    manifest holds them; the rest as in `export_bundle`.
    """

    network: Network
    schedule: dict
    prediction: str
    pixel_mean: Sequence[float]
    pixel_std: Sequence[float]
    clip: bool
    conditioning: str = "time"
    solver: str = "ddim"
    eta: float = 0.0
    time_grid: str = "linear"
    class_conditioning: ReferenceConditioning | None = None

    def from_noise(self, noise: Array, steps: int, seeds: Sequence[int] = ()) -> Array:
        """Pixels float64 [N, H, W, C] in [0, 1]; `seeds` are needed where η is not 0."""
        return self.trajectory(noise, steps, 1, seeds)[-1]

    def trajectory(self, noise: Array, steps: int, every: int, seeds: Sequence[int] = ()) -> Array:
        """Pixels float64 [F, N, H, W, C] of each `every`-th x̂_0, counted from the last."""
        frames = [self.pixels(image) for image in self._images(noise, steps, seeds)]
        return np.stack(frames[::-1][::every][::-1])

    def inpaint(
        self, pixels: Array, mask: Array, noise: Array, steps: int, seeds: Sequence[int] = ()
    ) -> Array:
        """Pixels [N, H, W, C]: those of a photograph, and where `mask` is True painted anew."""
        known = self.normalised(pixels)
        *_, image = self._images(noise, steps, seeds, lambda x: np.where(mask, x, known))
        return np.where(mask, self.pixels(image), pixels)

    def encode(self, pixels: Array, steps: int) -> Array:
        """The noise from which deterministic DDIM draws these pixels, as baking/inversion.py."""
        original, levels = self.normalised(pixels), self.levels(steps)
        signal, _ = self.rates(levels[steps - 1])
        x, image = signal * original, original
        for _ in range(_FIRST_EVALUATIONS):
            x = x + signal * (original - self.denoise(x, levels[steps - 1])[0])
        for k in range(steps - 2, -1, -1):
            guess = self._back(x, image, levels[k], levels[k + 1])
            image = self.denoise(guess, levels[k])[0]
            x = self._back(x, image, levels[k], levels[k + 1])
        return x

    def pixels(self, image: Array) -> Array:
        """Pixels in [0, 1] of a normalised image."""
        return np.clip(image * np.asarray(self.pixel_std) + np.asarray(self.pixel_mean), 0, 1)

    def normalised(self, pixels: Array) -> Array:
        """A normalised image of pixels in [0, 1]."""
        return (np.asarray(pixels, np.float64) - self.pixel_mean) / np.asarray(self.pixel_std)

    def denoise(self, x: Array, time: float) -> tuple[Array, Array]:
        """(x̂_0, ε̂) at one time for all images."""
        signal, sigma = self.rates(time)
        condition = np.full(len(x), self._condition(time), np.float32)
        shown = () if self.class_conditioning is None else (self.class_conditioning,)
        output = np.asarray(self.network(x.astype(np.float32), condition, *shown), np.float64)
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

    def levels(self, steps: int) -> list[float]:
        """The times t_0 … t_steps of the grid."""
        if self.schedule["name"] == "cosine":
            if self.time_grid == "linspace":
                return [*np.linspace(1, 0, steps).tolist(), 0.0]
            return [self._continuous_time(1 - k / steps) for k in range(steps + 1)]
        total = self.schedule["steps"]
        left = range(steps, -1, -1)
        return [max(self._discrete_time(m, steps, total), m) / total for m in left]

    def rates(self, time: float) -> tuple[float, float]:
        """Signal and noise rate at a time in [0, 1]."""
        if self.schedule["name"] == "cosine":
            start, end = self._angles
            angle = (1 - time) * start + time * end
            return math.cos(angle), math.sin(angle)
        alpha_bar = self._alpha_bar[round(time * self.schedule["steps"])]
        return math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)

    def _images(
        self, noise: Array, steps: int, seeds: Sequence[int], hold: Hold | None = None
    ) -> Iterator[Array]:
        """x̂_0 of each evaluation."""
        x, levels = np.asarray(noise, np.float64), self.levels(steps)
        earlier: Array | None = None
        for k in range(steps):
            image, epsilon = self.denoise(x, levels[k])
            if hold:
                signal, sigma = self.rates(levels[k])
                image = hold(image)
                epsilon = (x - signal * image) / sigma
            yield image
            if self.solver == "ddim":
                x = self._ddim(image, epsilon, levels, k, seeds)
            else:
                x = self._dpmpp_2m(x, image, earlier, levels, k)
            earlier = image

    def _ddim(
        self, image: Array, epsilon: Array, levels: list[float], k: int, seeds: Sequence[int]
    ) -> Array:
        """Equations 12 and 16 of arXiv 2010.02502."""
        (a_t, n_t), (a_s, n_s) = self.rates(levels[k]), self.rates(levels[k + 1])
        if self.eta == 0:
            return a_s * image + n_s * epsilon
        sigma = self.eta * n_s / n_t * math.sqrt(max(1 - (a_t / a_s) ** 2, 0.0))
        fresh = reference_noise(seeds, image.shape[1:], stream=k + 1)
        return a_s * image + math.sqrt(max(n_s**2 - sigma**2, 0.0)) * epsilon + sigma * fresh

    def _dpmpp_2m(
        self, x: Array, image: Array, earlier: Array | None, levels: list[float], k: int
    ) -> Array:
        """Algorithm 2 of arXiv 2211.01095, of first order in the first and the last step."""
        (a_t, n_t), (a_s, n_s) = self.rates(levels[k]), self.rates(levels[k + 1])
        if n_s == 0:
            return image
        log_snr = math.log(a_t / n_t)
        h = math.log(a_s / n_s) - log_snr
        direction = image
        if earlier is not None and k + 2 < len(levels):
            a_r, n_r = self.rates(levels[k - 1])
            h_before = log_snr - math.log(a_r / n_r)
            if h_before > 0:
                direction = image + h / (2 * h_before) * (image - earlier)
        return n_s / n_t * x - a_s * math.expm1(-h) * direction

    def _back(self, x: Array, image: Array, time: float, cleaner: float) -> Array:
        """x at a time, of x at a cleaner one and x̂_0."""
        (a_t, n_t), (a_s, n_s) = self.rates(time), self.rates(cleaner)
        return a_t * image + n_t * (x - a_s * image) / n_s

    def _condition(self, time: float) -> float:
        signal, sigma = self.rates(time)
        if self.conditioning == "log_snr":
            return math.log(signal**2 / sigma**2)
        total = self.schedule.get("steps", 0)
        values = {"time": time, "timestep": round(time * total), "noise_variance": sigma**2}
        return {**values, "noise_rate": sigma}[self.conditioning]

    def _continuous_time(self, left: float) -> float:
        if self.time_grid != "karras":
            return left if self.time_grid == "linear" else left**2
        start, end = self._angles
        low, high = math.tan(start) ** (1 / 7), math.tan(end) ** (1 / 7)
        return (math.atan((left * high + (1 - left) * low) ** 7) - start) / (end - start)

    def _discrete_time(self, left: int, steps: int, total: int) -> int:
        """The integer nearest to the grid's time or, for `karras`, noise/signal; halves go up."""
        if self.time_grid == "linspace":
            last = max(steps - 1, 1)
            return 1 + (2 * (left - steps + last) * (total - 1) + last) // (2 * last) if left else 0
        if self.time_grid == "linear":
            return (2 * left * total + steps) // (2 * steps)
        if self.time_grid == "quadratic":
            return (2 * left**2 * total + steps**2) // (2 * steps**2)
        ratio = np.sqrt(1 / self._alpha_bar - 1)
        return int(np.argmin(np.abs(ratio - (left / steps) ** 7 * ratio[-1])))

    @property
    def _angles(self) -> tuple[float, float]:
        return (
            math.acos(self.schedule["max_signal_rate"]),
            math.acos(self.schedule["min_signal_rate"]),
        )

    @cached_property
    def _alpha_bar(self) -> Array:
        """ᾱ_0 … ᾱ_T of arXiv 2006.11239 (section 4) or arXiv 2102.09672 (equation 17)."""
        total = self.schedule["steps"]
        n = np.arange(1, total + 1)
        if self.schedule["name"] == "ddpm_linear":
            beta = 1e-4 + (0.02 - 1e-4) * (n - 1) / (total - 1)
        else:
            after, before = (
                np.cos((m / total + 0.008) / 1.008 * math.pi / 2) ** 2 for m in (n, n - 1)
            )
            beta = np.minimum(1 - after / before, 0.999)
        return np.concatenate([[1.0], np.cumprod(1 - beta)])
