"""Latent models once more, in float64, and what a manifest says of shapes and statistics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...runtime.bundle.samples import SIDES
from .reference_noise import Array
from .reference_schedules import unknown


def statistics_of(description: Mapping[str, Any]) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of pixels, or of arrays."""
    for entry in (description[name] for name in ("array", "latent") if name in description):
        return entry["mean"], entry["std"]
    return description["pixel_mean"], description["pixel_std"]


def shape_of(description: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of what is denoised: one image, array or latent."""
    for entry in (description[name] for name in ("array", "latent") if name in description):
        return tuple(entry["shape"])
    height, width, channels = (description["image"][name] for name in SIDES)
    factor = description.get("then", {}).get("factor", 1)
    return height // factor, width // factor, channels


@dataclass(frozen=True)
class ReferenceCodec:
    """The networks around a latent model: latents in their own units, and normalised images.

    `mean` and `std` are those of pixels in [0, 1]. Latents may have their channels first.
    """

    decode: Callable[[Array], Array]
    encode: Callable[[Array], Array] | None
    mean: Sequence[float]
    std: Sequence[float]
    channels_first: bool = False

    @classmethod
    def of(cls, description: Mapping[str, Any], codec: Any) -> "ReferenceCodec":
        """The codec of a manifest's essentials."""
        encode = None if codec.encoder is None else codec.encoder.predict
        pixels = description["pixel_mean"], description["pixel_std"]
        channels_first = description["latent"].get("channels_first", False)
        return cls(codec.decoder.predict, encode, *pixels, channels_first)

    def decoded(self, latents: Array) -> Array:
        """Pixels in [0, 1], float64."""
        image = self.decode(latents.astype(np.float32)).astype(np.float64)
        return np.clip(image * np.asarray(self.std) + np.asarray(self.mean), 0, 1)

    def encoded(self, pixels: Array) -> Array:
        """Latents, float64."""
        if self.encode is None:
            raise unknown("encoder", "none")
        image = (pixels - np.asarray(self.mean)) / np.asarray(self.std)
        return self.encode(image.astype(np.float32)).astype(np.float64)

    def blocks(self, mask: Array, latents: tuple[int, ...]) -> Array:
        """Whether a mask [N, H, W, 1] marks any pixel of a latent's block; channels are one."""
        (_, height, width, _), (_, *shape) = mask.shape, latents
        rows, columns = shape[1:] if self.channels_first else shape[:2]
        blocks = mask.reshape(-1, rows, height // rows, columns, width // columns)
        marked = np.asarray(blocks.any((2, 4)))
        return marked[:, None] if self.channels_first else marked[..., None]
