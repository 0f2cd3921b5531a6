"""Preview grids: the same 16 noises, denoised by the averaged network as training goes on.

A network with classes shows 16 labels spread over their range.
"""

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
        seed = stream_seed(0, PREVIEW, tf.constant(0, tf.int64))
        self._noise = tf.random.stateless_normal(shape, seed)
        labels = np.arange(_SIDE**2) * (denoiser.num_classes or 0) // _SIDE**2
        conditioning = conditioning_for(denoiser, labels, guidance=PREVIEW_GUIDANCE)
        sample = Sampling(denoiser).sample
        self._sample = tf.function(
            lambda noise: sample(noise, PREVIEW_STEPS, conditioning=conditioning), autograph=False
        )

    def draw(self) -> np.ndarray:
        """A grid uint8 [4·S, 4·S, C] of sixteen samples."""
        images = self._sample(self._noise).numpy()
        rows = images.reshape(_SIDE, _SIDE, *images.shape[1:])
        return np.concatenate(np.concatenate(rows, axis=1), axis=1)


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
