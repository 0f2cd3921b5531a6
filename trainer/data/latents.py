"""The latents of a run's pictures, made once at the start, in place of the pictures."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .arrays import array_statistics
from .cache import Images
from .load import ImageData

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class Latents(Images):
    """Latents float32 [N, h, w, c] in memory, and perhaps those of the mirrored pictures."""

    def __init__(
        self,
        latents: NDArray[np.float32],
        labels: NDArray[np.int64],
        mirrored: NDArray[np.float32] | None = None,
    ) -> None:
        self._latents, self._mirrored = latents, mirrored
        count, shape = len(latents), latents.shape[1:]
        super().__init__(count, shape, cache=None, decode=latents.__getitem__, labels=labels)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """The latents of `indices` int64 [n], float32 [n, h, w, c]."""
        return self._latents[indices]

    def take_mirrored(
        self, indices: NDArray[np.int64], mirrored: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """The same, where `mirrored` bool [n] those of the mirrored pictures."""
        taken = self.take(indices)
        if self._mirrored is not None:
            taken[mirrored] = self._mirrored[indices[mirrored]]
        return taken


def latents_of(images: ImageData, encode: Encode, *, flips: bool) -> ImageData:
    """The latents of all images; those of `train` for their mirror images too, if it `flips`."""
    shape = encode(images.train.take(np.arange(1))).shape[1:]

    def encoded(pictures: Images, *, mirrored: bool = False) -> NDArray[np.float32]:
        latents, done = np.empty((len(pictures), *shape), np.float32), 0
        for portion in pictures.portions():
            seen = portion[:, :, ::-1] if mirrored else portion
            latents[done : done + len(portion)] = encode(seen)
            done += len(portion)
        return latents

    mirrored = encoded(images.train, mirrored=True) if flips else None
    train = Latents(encoded(images.train), images.train.labels, mirrored)
    held_out = Latents(encoded(images.held_out), images.held_out.labels)
    return replace(images, train=train, held_out=held_out, sample=None, statistics=array_statistics)
