"""Previews: the same 16 noises, denoised by the averaged network as training goes on.

Pictures are shown in a grid, and arrays are saved as numbers. A network with classes shows 16
labels spread over their range.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from ..maths.diffusion import Denoiser
from ..maths.guidance import Conditioning
from ..maths.sampling import Sampling
from ..run.atomic import replacing
from ..streams import PREVIEW, stream_seed

PREVIEW_STEPS = 20
PREVIEW_GUIDANCE = 2.0
_SIDE = 4


class Preview:
    """Draws the grid of one run."""

    def __init__(self, denoiser: Denoiser, image_size: int) -> None:
        shape = (_SIDE**2, image_size, image_size, len(denoiser.pixel_mean))
        self._noise = _noise(shape)
        conditioning = conditioning_for(denoiser, _labels(denoiser), guidance=PREVIEW_GUIDANCE)
        sample = Sampling(denoiser).sample
        self._sample = tf.function(
            lambda noise: sample(noise, PREVIEW_STEPS, conditioning=conditioning), autograph=False
        )

    def draw(self) -> np.ndarray:
        """A grid uint8 [4·S, 4·S, C] of sixteen samples."""
        return _grid(self._sample(self._noise).numpy())


class ArrayPreview:
    """Draws sixteen arrays of one run, of this shape, in the units of its data.

    Guidance is 1, since more of it would leave the range of the data.
    """

    def __init__(self, denoiser: Denoiser, shape: tuple[int, ...]) -> None:
        self._noise, self._labels = _noise((_SIDE**2, *shape)), _labels(denoiser)
        self._has_labels = denoiser.num_classes is not None
        conditioning = conditioning_for(denoiser, self._labels, guidance=1.0)
        images, steps = Sampling(denoiser).images, tf.constant(PREVIEW_STEPS, tf.int64)
        self._sample = tf.function(
            lambda noise: denoiser.pixels(images(noise, steps, conditioning=conditioning)),
            autograph=False,
        )

    def draw(self) -> dict[str, np.ndarray]:
        """By name: `samples` float32 [16, …], and with classes their `labels` int64 [16]."""
        labels = {"labels": self._labels} if self._has_labels else {}
        return {"samples": self._sample(self._noise).numpy(), **labels}


class LatentPreview:
    """Draws the grid of one run on latents of this shape, which `decode` turns into pictures."""

    def __init__(
        self,
        denoiser: Denoiser,
        shape: tuple[int, ...],
        decode: Callable[[tf.Tensor], tf.Tensor],
    ) -> None:
        self._noise = _noise((_SIDE**2, *shape))
        conditioning = conditioning_for(denoiser, _labels(denoiser), guidance=PREVIEW_GUIDANCE)
        images, steps = Sampling(denoiser).images, tf.constant(PREVIEW_STEPS, tf.int64)
        self._sample = tf.function(
            lambda noise: decode(denoiser.pixels(images(noise, steps, conditioning=conditioning))),
            autograph=False,
        )

    def draw(self) -> np.ndarray:
        """A grid uint8 [4·S, 4·S, C] of sixteen samples."""
        return _grid(self._sample(self._noise).numpy())


def _grid(images: np.ndarray) -> np.ndarray:
    rows = images.reshape(_SIDE, _SIDE, *images.shape[1:])
    return np.concatenate(np.concatenate(rows, axis=1), axis=1)


def _noise(shape: tuple[int, ...]) -> tf.Tensor:
    """The noise of every preview of this shape."""
    seed = stream_seed(0, PREVIEW, tf.constant(0, tf.int64))
    return tf.random.stateless_normal(shape, seed)


def _labels(denoiser: Denoiser) -> np.ndarray:
    """Labels int64 [16], spread over their range."""
    return np.arange(_SIDE**2) * (denoiser.num_classes or 0) // _SIDE**2


def conditioning_for(
    denoiser: Denoiser, labels: np.ndarray | tf.Tensor, *, guidance: float
) -> Conditioning | None:
    """The conditioning on labels int [N]; None for a denoiser without classes."""
    if denoiser.num_classes is None:
        return None
    return Conditioning(tf.cast(labels, tf.int64), tf.constant(guidance))


def save_png(image: np.ndarray, path: Path) -> None:
    """Write a picture uint8 [H, W, 1] or [H, W, 3], whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    with replacing(path) as part:
        picture.save(part, format="PNG")


def save_npz(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Write arrays by name, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
