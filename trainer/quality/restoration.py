"""What the averaged network makes of held-out pictures, by number and by eye.

PSNR and SSIM (`tf.image`) compare its pictures with the originals. Both favour the average of all
that is possible over any one sharp picture (SR3, arXiv 2104.07636, section 4).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..conditions.tasks import conditioned, conditions, held_out_draws
from ..config import TrainConfig
from ..data.augment import unchanged
from ..data.cache import Images
from ..maths.diffusion import Denoiser, to_uint8
from ..maths.sampling import Sampling
from ..streams import PREVIEW, stream_seed
from .preview import PREVIEW_STEPS, conditioning_for

MEASURED, SHOWN = 64, 16
# A picture that is restored exactly would have an infinite PSNR.
_MOST_DB = 100.0
_SSIM_WINDOW = 11


class Likeness(NamedTuple):
    """The mean PSNR in decibels and SSIM of pictures, nan where nothing was measured."""

    psnr_db: float = math.nan
    ssim: float = math.nan


def likeness(pictures: NDArray[np.uint8], originals: NDArray[np.uint8]) -> Likeness:
    """The likeness of pictures to originals, both uint8 [N, S, S, C]."""
    both = tf.constant(pictures), tf.constant(originals)
    psnr = tf.minimum(tf.image.psnr(*both, 255), _MOST_DB)
    ssim = tf.image.ssim(*both, 255, filter_size=min(_SSIM_WINDOW, originals.shape[1]))
    return Likeness(*(float(tf.reduce_mean(each)) for each in (psnr, ssim)))


def restored(
    config: TrainConfig,
    denoiser: Denoiser,
    noise: tf.Tensor,
    pictures: tf.Tensor,
    labels: tf.Tensor,
    number: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """What a task gives of pictures uint8 [N, S, S, C], and what is drawn from it and `noise`.

    Both are uint8 [N, S, S, C]. Masks follow from the `number` of the batch, int64 []; pixels that
    are not to be painted stay. Labels int64 [N] are used without guidance.
    """
    draws = held_out_draws(config, tf.shape(pictures)[0], number)
    given = conditions(config, denoiser, pictures, draws)
    conditioning = conditioning_for(denoiser, labels, guidance=1.0)
    sampling = Sampling(conditioned(denoiser, given))
    drawn = sampling.sample(noise, PREVIEW_STEPS, conditioning=conditioning)
    if config.task == "inpainting":
        drawn = tf.where(given[1] > 0, drawn, pictures)
    factor = config.factor or 1
    enlarged = tf.repeat(tf.repeat(given[0], factor, axis=1), factor, axis=2)
    return to_uint8(denoiser.pixels(enlarged)), drawn


def restoration(
    config: TrainConfig,
    denoiser: Denoiser,
    images: Images,
    held_out: tuple[NDArray[np.uint8], NDArray[np.int64]],
) -> "Restoration | None":
    """The restoration of a run's held-out pictures, or of the first images without them.

    None without a task.
    """
    if config.task == "generation":
        return None
    if len(held_out[0]):
        return Restoration(config, denoiser, *held_out)
    first = np.arange(min(SHOWN, len(images)))
    pictures = unchanged(images.take(first), config)
    return Restoration(config, denoiser, pictures, images.labels[first], measured=False)


class Restoration:
    """Restores the same pictures from the same noises, at whatever step it is asked to.

    `pictures` are uint8 [N, S, S, C], of which the first 64 are `measured` and the first 16 shown,
    with labels int64 [N].
    """

    def __init__(
        self,
        config: TrainConfig,
        denoiser: Denoiser,
        pictures: NDArray[np.uint8],
        labels: NDArray[np.int64],
        *,
        measured: bool = True,
    ) -> None:
        self.columns = Likeness._fields
        self._pictures, self._labels = pictures[:MEASURED], labels[:MEASURED]
        self._measured = measured

        def of_batch(pictures: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tuple:
            seed = stream_seed(0, PREVIEW, number)
            noise = tf.random.stateless_normal(tf.shape(pictures), seed)
            return restored(config, denoiser, noise, pictures, labels, number)

        self._restored = tf.function(of_batch, reduce_retracing=True, autograph=False)

    def measure(self, check: Callable[[], None] = lambda: None) -> Likeness:
        """The likeness of the restored pictures; `check` is called between batches."""
        if not self._measured:
            return Likeness()
        drawn = []
        for start in range(0, len(self._pictures), SHOWN):
            check()
            drawn.append(self._batch(start)[1])
        return likeness(np.concatenate(drawn), self._pictures)

    def measures(self, check: Callable[[], None] = lambda: None) -> dict[str, float]:
        """The same by name, as `columns` of metrics."""
        return self.measure(check)._asdict()

    def draw(self) -> NDArray[np.uint8]:
        """A grid uint8 [8·S, 6·S, C]: in each row two pictures, as given, restored and original."""
        rows = np.concatenate([*self._batch(0), self._pictures[:SHOWN]], axis=2)
        # Where there are few pictures, they come again.
        rows = np.resize(rows, (SHOWN // 2, 2, *rows.shape[1:]))
        return np.concatenate([np.concatenate(row, axis=1) for row in rows])

    def _batch(self, start: int) -> list[NDArray[np.uint8]]:
        """What is given of some pictures, and what comes of it."""
        rows = slice(start, start + SHOWN)
        inputs = (tf.constant(each[rows]) for each in (self._pictures, self._labels))
        return [each.numpy() for each in self._restored(*inputs, tf.constant(start, tf.int64))]
