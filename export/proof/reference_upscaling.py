"""The second stage of a cascade once more, in float64."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .reference_guidance import ReferenceConditioning
from .reference_noise import Array, reference_noise

if TYPE_CHECKING:
    from .reference import ReferenceSampler

# Streams of a second stage's noise, by docs/bundle.md.
_FIRST_STREAM, _AUGMENTATION_STREAM = 2**20, 2**21


@dataclass(frozen=True)
class ReferenceUpscaler:
    """What enlarges pixels in [0, 1]; `sampler`'s network takes small pictures of float levels.

    `fixed` are the values of conditions, of one picture, that are not among the `shared` ones. The
    small picture, of pixels with this mean and standard deviation, gets noise of the level
    `augmentation`.
    """

    sampler: "ReferenceSampler"
    shape: tuple[int, ...]
    steps: int
    guidance: float
    shared: frozenset[str]
    fixed: Mapping[str, np.ndarray]
    augmentation: float
    mean: Sequence[float]
    std: Sequence[float]

    def drawn(self, pixels: Array, seeds: Array, given: ReferenceConditioning) -> Array:
        """Pixels float64 [N, H, W, C] of pixels [N, h, w, C]."""
        shown = {name: value for name, value in given.shown.items() if name in self.shared}
        for name, value in self.fixed.items():
            shown[name] = np.broadcast_to(value, (len(pixels), *value.shape))
        shown["low_resolution"] = (255 * self._noised(pixels, seeds)).astype(np.float32)
        sampler = replace(self.sampler, given=ReferenceConditioning(shown, {}, self.guidance))
        noise = reference_noise(seeds.tolist(), self.shape, stream=_FIRST_STREAM)
        return sampler.from_noise(noise, self.steps)

    def _noised(self, pixels: Array, seeds: Array) -> Array:
        """√(1 − a²)·x + a·ε of x in normalised units, as pixels."""
        level, mean, std = self.augmentation, np.asarray(self.mean), np.asarray(self.std)
        if not level:
            return pixels
        noise = reference_noise(seeds.tolist(), pixels.shape[1:], stream=_AUGMENTATION_STREAM)
        return (np.sqrt(1 - level**2) * (pixels - mean) / std + level * noise) * std + mean
