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

from .reference_ancestral import ancestral
from .reference_codec import ReferenceCodec, statistics_of
from .reference_guidance import Network, ReferenceConditioning, guided, told
from .reference_network import NetworkReference, noise_between
from .reference_noise import Array, reference_noise
from .reference_schedules import FlowReference, Reference, float32_time, reference_schedule, unknown
from .reference_tables import images_by_table, reference_steps
from .reference_upscaling import ReferenceUpscaler

Hold = Callable[[Array], Array]

_FIRST_EVALUATIONS = 8


def reference_of(
    description: Mapping[str, Any],
    network: Network,
    *,
    denoises: bool = False,
    codec: Any = None,
    second: ReferenceUpscaler | None = None,
) -> "ReferenceSampler":
    """The float64 reference of what a manifest's essentials describe.

    `network` takes what the model's network does, in the order of its graph. If it `denoises`, it
    is a bundle's own denoiser (see `ReferenceOfDenoiser`). A latent model has a `codec`, whose
    `decoder.predict` and, if there is an encoder, `encoder.predict` are called. A cascade has a
    `second` stage.
    """
    model, sampler = description["model"], description["sampler"]
    if not denoises and "guidance_range" in model:
        network = told(network)
    elif not denoises and ("class_names" in model or description.get("conditions")):
        network = guided(network)
    kind = ReferenceOfDenoiser if denoises else ReferenceSampler
    return kind(
        network,
        description["schedule"],
        model["prediction"],
        *statistics_of(description),
        conditioning=model["conditioning"],
        first_timestep=model.get("first_timestep", 1),
        tables=sampler.get("tables"),
        dynamic_threshold=sampler.get("dynamic_threshold"),
        variance=sampler.get("variance", "fixed"),
        arrays="image" not in description,
        codec=None if codec is None else ReferenceCodec.of(description, codec),
        second=second,
        **{name: sampler[name] for name in ("clip", "solver", "eta", "time_grid")},
    )


@dataclass(frozen=True)
class ReferenceSampler:
    """DDIM (arXiv 2010.02502), DPM-Solver++(2M) (arXiv 2211.01095) and learned tables in float64.

    `network` maps float32 images [N, H, W, C], float32 conditions [N] and a `ReferenceConditioning`
    (none without labels and others) to its prediction, of twice as many channels where the
    `variance` is learned. `schedule` and `tables` are as the manifest holds them; the rest as in
    `export_bundle`. What is said of images holds for `arrays` [N, …] as well. A name that it does
    not implement raises InputError where it is used.
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
    given: ReferenceConditioning | None = None
    tables: Mapping[str, Any] | None = None
    float32_times: bool = False
    first_timestep: int = 1
    dynamic_threshold: float | None = None
    variance: str = "fixed"
    arrays: bool = False
    codec: ReferenceCodec | None = None
    second: ReferenceUpscaler | None = None

    def from_noise(self, noise: Array, steps: int, seeds: Sequence[int] = ()) -> Array:
        """Pixels float64 [N, H, W, C] in [0, 1]; `seeds` are needed where η is not 0."""
        *_, image = self._images(noise, steps, seeds)
        return self.pixels(image)

    def trajectory(self, noise: Array, steps: int, every: int, seeds: Sequence[int] = ()) -> Array:
        """Pixels float64 [F, N, H, W, C] of each `every`-th x̂_0, counted from the last."""
        frames = [self.pixels(image) for image in self._images(noise, steps, seeds)]
        return np.stack(frames[::-1][::every][::-1])

    def inpaint(
        self, pixels: Array, mask: Array, noise: Array, steps: int, seeds: Sequence[int] = ()
    ) -> Array:
        """Pixels [N, H, W, C] of a photograph, with new ones where `mask` is True."""
        photograph = self.normalised(pixels)
        painted = mask if self.codec is None else self.codec.blocks(mask, photograph.shape)
        *_, image = self._images(noise, steps, seeds, lambda x: np.where(painted, x, photograph))
        return np.where(mask, self.pixels(image), pixels)

    def edit(
        self, pixels: Array, noise: Array, steps: int, start: int, seeds: Sequence[int] = ()
    ) -> Array:
        """Pixels [N, H, W, C] of the steps from `start` on, after noising (SDEdit, 2108.01073)."""
        began = start, self.normalised(pixels)
        *_, image = self._images(noise, steps, seeds, start=began)
        return self.pixels(image)

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
        """Pixels in [0, 1] of a normalised image or latent; arrays in their own units."""
        pixels = image * np.asarray(self.pixel_std) + np.asarray(self.pixel_mean)
        if self.codec is not None:
            return self.codec.decoded(pixels)
        return pixels if self.arrays else np.clip(pixels, 0, 1)

    def normalised(self, pixels: Array | float) -> Array:
        """A normalised image, or latent, of pixels in [0, 1]."""
        if self.codec is not None:
            pixels = self.codec.encoded(np.asarray(pixels))
        return (np.asarray(pixels, np.float64) - self.pixel_mean) / np.asarray(self.pixel_std)

    def denoise(
        self, x: Array, time: float, hold: Hold | None = None, network_time: float | None = None
    ) -> tuple[Array, Array, Array]:
        """(x̂_0, ε̂, v) at one time for all images; `hold` changes x̂_0.

        The network is told `network_time` if that is given.
        """
        signal, sigma = self.rates(time)
        told = time if network_time is None else network_time
        image, epsilon, fraction = self._predicted(x, time, told)
        if self.dynamic_threshold is not None:
            image = self._thresholded(image, self.dynamic_threshold)
        elif self.clip:
            image = np.clip(image, self.normalised(0), self.normalised(1))
        if hold:
            image = hold(image)
        if self.clip or hold:
            epsilon = noise_between(x, image, signal, sigma)
        return image, epsilon, fraction

    def _thresholded(self, image: Array, share: float) -> Array:
        """Dynamic thresholding (arXiv 2205.11487, section 2.3), in units of [−1, 1]."""
        scaled = 2 * (image * np.asarray(self.pixel_std) + np.asarray(self.pixel_mean)) - 1
        rows = np.abs(scaled).reshape(len(scaled), -1)
        s = np.maximum(np.quantile(rows, share, axis=1), 1)[:, None, None, None]
        return self.normalised((np.clip(scaled, -s, s) / s + 1) / 2)

    def _predicted(self, x: Array, time: float, told: float) -> tuple[Array, Array, Array]:
        """(x̂_0, ε̂, v) as the network says of images at a time, when told another.

        v [N, H, W, C] is of a learned variance, and empty without one.
        """
        network, rates = self._network, self.rates(time)
        condition = np.full(len(x), network.condition(told, *self.rates(told)), np.float32)
        shown = network.shown(x, *rates).astype(np.float32)
        given = () if self.given is None else (self.given,)
        output = np.asarray(self.network(shown, condition, *given), np.float64)
        output, bounds = np.split(output, [x.shape[-1]], axis=-1)
        return *network.split(output, x, *rates), (bounds + 1) / 2

    def noised(self, image: Array, noise: Array, time: float) -> Array:
        """x of an image at a time (arXiv 2006.11239, equation 4)."""
        signal, sigma = self.rates(time)
        return signal * image + sigma * np.asarray(noise, np.float64)

    def rates(self, time: float) -> tuple[float, float]:
        """Signal and noise rate at a time in [0, 1]."""
        return self._schedule.rates(time)

    @cached_property
    def _schedule(self) -> Reference:
        return reference_schedule(self.schedule)

    @cached_property
    def _network(self) -> NetworkReference:
        return NetworkReference(
            self.schedule, self.prediction, self.conditioning, self.first_timestep
        )

    def _images(
        self,
        noise: Array,
        steps: int,
        seeds: Sequence[int],
        hold: Hold | None = None,
        start: tuple[int, Array] | None = None,
    ) -> Iterator[Array]:
        """x̂_0 of each evaluation, at last the picture; from a step's normalised image if given."""
        guidance = self.given and self.given.guidance
        if learned := reference_steps(self.tables, steps, guidance):
            yield from images_by_table(self, noise, learned, hold, start)
            return
        x, levels = np.asarray(noise, np.float64), self._schedule.levels(self.time_grid, steps)
        earlier: Array | None = None
        first = 0
        if start is not None:
            first, x = start[0], self.noised(start[1], x, levels[start[0]])
        for k in range(first, steps):
            told = float32_time(self.time_grid, k, steps) if self.float32_times else None
            image, epsilon, fraction = self.denoise(x, levels[k], hold, told)
            yield image
            if k + 1 == steps:
                return  # since no picture depends on that step, nor need it be finite
            if self.variance == "learned":
                fresh = reference_noise(seeds, image.shape[1:], stream=k + 1)
                x = ancestral(x, image, fraction, fresh, *map(self.rates, levels[k : k + 2]))
            elif self.solver == "ddim":
                x = self._ddim(image, epsilon, levels, k, seeds)
            elif self.solver == "dpmpp_2m":
                x = self._dpmpp_2m(x, image, earlier, levels, k)
            else:
                raise unknown("solver", self.solver)
            earlier = image

    def under(self, guidance_factor: float) -> "ReferenceSampler":
        """The same where guidance g is 1 + factor·(g − 1)."""
        if self.given is None:
            return self
        guidance = 1 + guidance_factor * (self.given.guidance - 1)
        return replace(self, given=replace(self.given, guidance=guidance))

    def _ddim(
        self, image: Array, epsilon: Array, levels: list[float], k: int, seeds: Sequence[int]
    ) -> Array:
        """Equations 12 and 16 of arXiv 2010.02502."""
        (a_t, n_t), (a_s, n_s) = self.rates(levels[k]), self.rates(levels[k + 1])
        if self.eta == 0:
            return a_s * image + n_s * epsilon
        sigma = self.eta * n_s / n_t * math.sqrt(max(1 - (a_t / a_s) ** 2, 0.0))
        if isinstance(
            self._schedule, FlowReference
        ):  # the same in rates whose squares do not sum to 1
            sigma = self.eta * n_s * math.sqrt(1 - (a_t * n_s / (a_s * n_t)) ** 2)
        fresh = reference_noise(seeds, image.shape[1:], stream=k + 1)
        return a_s * image + math.sqrt(max(n_s**2 - sigma**2, 0.0)) * epsilon + sigma * fresh

    def _dpmpp_2m(
        self, x: Array, image: Array, earlier: Array | None, levels: list[float], k: int
    ) -> Array:
        """Algorithm 2 of arXiv 2211.01095, of first order in the first step."""
        (a_t, n_t), (a_s, n_s) = self.rates(levels[k]), self.rates(levels[k + 1])
        log_snr = _log_ratio(a_t, n_t)
        h = _log_ratio(a_s, n_s) - log_snr
        direction = image
        if earlier is not None:
            a_r, n_r = self.rates(levels[k - 1])
            h_before = log_snr - _log_ratio(a_r, n_r)
            if h_before > 0:
                direction = image + h / (2 * h_before) * (image - earlier)
        return n_s / n_t * x - a_s * math.expm1(-h) * direction

    def _back(self, x: Array, image: Array, time: float, cleaner: float) -> Array:
        """x at a time, of x at a cleaner one and x̂_0."""
        (a_t, n_t), (a_s, n_s) = self.rates(time), self.rates(cleaner)
        return a_t * image + n_t * (x - a_s * image) / n_s


def _log_ratio(signal: float, sigma: float) -> float:
    """ln(signal/noise), −∞ where no signal is left."""
    return math.log(signal / sigma) if signal > 0 else -math.inf


class ReferenceOfDenoiser(ReferenceSampler):
    """The same for a bundle's denoiser: x̂_0 of images, times and what the network is told."""

    def _predicted(self, x: Array, time: float, told: float) -> tuple[Array, Array, Array]:
        """(x̂_0, ε̂, v) as the denoiser says."""
        times = (np.full(len(x), each, np.float32) for each in (time, told))
        given = () if self.given is None else (self.given,)
        output = np.asarray(self.network(x.astype(np.float32), *times, *given), np.float64)
        image, fraction = np.split(output, [x.shape[-1]], axis=-1)
        return image, noise_between(x, image, *self.rates(time)), fraction
