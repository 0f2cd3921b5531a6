"""The sampler once more, independently: NumPy in float64, driving any network.

The certificate and the tests compare the baked graphs with this. It shares no code with them: the
schedules, the grids and the solvers are written here from the papers' equations.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .reference_noise import Array, reference_noise
from .reference_schedules import CosineReference, DiscreteReference, reference_schedule, unknown
from .reference_tables import images_by_table, reference_steps

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

    Classifier-free guidance (arXiv 2207.12598, equation 6): the output without a label, plus
    `guidance` times the difference of the output with it.
    """

    def call(x: Array, condition: Array, class_conditioning: ReferenceConditioning) -> Array:
        labels, guidance = class_conditioning.labels, class_conditioning.guidance
        labelled = np.asarray(network(x, condition, labels), np.float64)
        if guidance == 1:
            return labelled
        without = np.asarray(network(x, condition, np.full_like(labels, -1)), np.float64)
        return without + guidance * (labelled - without)

    return call


def reference_of(
    description: Mapping[str, Any], network: Network, *, denoises: bool = False
) -> "ReferenceSampler":
    """The float64 reference of what a manifest's essentials describe.

    If it `denoises`, `network` is a bundle's own denoiser (see `ReferenceOfDenoiser`).
    """
    model, sampler = description["model"], description["sampler"]
    kind = ReferenceOfDenoiser if denoises else ReferenceSampler
    return kind(
        network,
        description["schedule"],
        model["prediction"],
        description["pixel_mean"],
        description["pixel_std"],
        conditioning=model["conditioning"],
        tables=sampler.get("tables"),
        **{name: sampler[name] for name in ("clip", "solver", "eta", "time_grid")},
    )


@dataclass(frozen=True)
class ReferenceSampler:
    """DDIM (arXiv 2010.02502), DPM-Solver++(2M) (arXiv 2211.01095) and learned tables in float64.

    `network` maps float32 images [N, H, W, C], float32 conditions [N] and, for a model of classes,
    a `ReferenceConditioning` to its prediction. `schedule` and `tables` are as the manifest holds
    them; the rest as in `export_bundle`. A name that it does not implement raises
    InputError where it is used.
    """

    network: Network
    schedule: Mapping[str, Any]
    prediction: str
    pixel_mean: Sequence[float]
    pixel_std: Sequence[float]
    clip: bool
    conditioning: str = "time"
    solver: str = "ddim"
    eta: float = 0.0
    time_grid: str = "linear"
    class_conditioning: ReferenceConditioning | None = None
    tables: Mapping[str, Any] | None = None

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
        """Pixels [N, H, W, C] of a photograph, with new ones where `mask` is True."""
        photograph = self.normalised(pixels)
        *_, image = self._images(noise, steps, seeds, lambda x: np.where(mask, x, photograph))
        return np.where(mask, self.pixels(image), pixels)

    def encode(self, pixels: Array, steps: int) -> Array:
        """The noise from which deterministic DDIM draws these pixels, as baking/inversion.py."""
        original, levels = self.normalised(pixels), self._schedule.levels(self.time_grid, steps)
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

    def normalised(self, pixels: Array | float) -> Array:
        """A normalised image of pixels in [0, 1]."""
        return (np.asarray(pixels, np.float64) - self.pixel_mean) / np.asarray(self.pixel_std)

    def denoise(
        self, x: Array, time: float, hold: Hold | None = None, network_time: float | None = None
    ) -> tuple[Array, Array]:
        """(x̂_0, ε̂) at one time for all images; `hold` changes x̂_0.

        The network is told `network_time` if that is given.
        """
        signal, sigma = self.rates(time)
        told = time if network_time is None else network_time
        image, epsilon = self._predicted(x, time, told)
        if self.clip:
            image = np.clip(image, self.normalised(0), self.normalised(1))
        if hold:
            image = hold(image)
        if self.clip or hold:
            epsilon = (x - signal * image) / sigma
        return image, epsilon

    def _predicted(self, x: Array, time: float, told: float) -> tuple[Array, Array]:
        """(x̂_0, ε̂) as the network says of images at a time, when told another."""
        condition = np.full(len(x), self._condition(told), np.float32)
        conditioning = () if self.class_conditioning is None else (self.class_conditioning,)
        output = self.network(x.astype(np.float32), condition, *conditioning)
        return self._split(np.asarray(output, np.float64), x, *self.rates(time))

    def rates(self, time: float) -> tuple[float, float]:
        """Signal and noise rate at a time in [0, 1]."""
        return self._schedule.rates(time)

    @cached_property
    def _schedule(self) -> CosineReference | DiscreteReference:
        return reference_schedule(self.schedule)

    def _condition(self, time: float) -> float:
        signal, sigma = self.rates(time)
        values: dict[str, Callable[[], float]] = {
            "time": lambda: time,
            "timestep": lambda: round(time * self.schedule["steps"]),
            "noise_variance": lambda: sigma**2,
            "noise_rate": lambda: sigma,
            "log_snr": lambda: math.log(signal**2 / sigma**2),
        }
        if self.conditioning not in values:
            raise unknown("conditioning", self.conditioning)
        return values[self.conditioning]()

    def _split(self, output: Array, x: Array, signal: float, sigma: float) -> tuple[Array, Array]:
        """(x̂_0, ε̂) of the network's output (velocity: arXiv 2202.00512)."""
        if self.prediction == "noise":
            return (x - sigma * output) / signal, output
        if self.prediction == "velocity":
            return signal * x - sigma * output, sigma * x + signal * output
        if self.prediction == "image":
            return output, (x - signal * output) / sigma
        raise unknown("prediction", self.prediction)

    def _images(
        self, noise: Array, steps: int, seeds: Sequence[int], hold: Hold | None = None
    ) -> Iterator[Array]:
        """x̂_0 of each evaluation, at last the picture."""
        guidance = self.class_conditioning and self.class_conditioning.guidance
        if learned := reference_steps(self.tables, steps, guidance):
            yield from images_by_table(self, noise, learned, hold)
            return
        x, levels = np.asarray(noise, np.float64), self._schedule.levels(self.time_grid, steps)
        earlier: Array | None = None
        for k in range(steps):
            image, epsilon = self.denoise(x, levels[k], hold)
            yield image
            if self.solver == "ddim":
                x = self._ddim(image, epsilon, levels, k, seeds)
            elif self.solver == "dpmpp_2m":
                x = self._dpmpp_2m(x, image, earlier, levels, k)
            else:
                raise unknown("solver", self.solver)
            earlier = image

    def under(self, guidance_factor: float) -> "ReferenceSampler":
        """The same where guidance g is 1 + factor·(g − 1)."""
        if self.class_conditioning is None:
            return self
        guidance = 1 + guidance_factor * (self.class_conditioning.guidance - 1)
        return replace(self, class_conditioning=replace(self.class_conditioning, guidance=guidance))

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


class ReferenceOfDenoiser(ReferenceSampler):
    """The same for a bundle's denoiser: x̂_0 of images, times and what the network is told."""

    def _predicted(self, x: Array, time: float, told: float) -> tuple[Array, Array]:
        """(x̂_0, ε̂) as the denoiser says."""
        times = (np.full(len(x), each, np.float32) for each in (time, told))
        conditioning = () if self.class_conditioning is None else (self.class_conditioning,)
        image = np.asarray(self.network(x.astype(np.float32), *times, *conditioning), np.float64)
        signal, sigma = self.rates(time)
        return image, (x - signal * image) / sigma
