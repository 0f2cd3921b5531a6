"""The quality of a run's samples while it trains: their KID, and the best step by it."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..config import TrainConfig
from ..data.augment import unchanged
from ..data.load import ImageData
from ..errors import InputError
from ..maths.diffusion import Denoiser
from ..maths.sampling import Sampling
from ..run.records import Best
from ..streams import KID_NOISE, stream_seed
from .features import FeatureExtractor, extractor
from .kid import KernelDistance, kid
from .preview import conditioning_for
from .restoration import restored

KID_STEPS = 20
_BATCH = 64
UNKNOWN = KernelDistance(math.nan, math.nan)


class Quality:
    """Measures the averaged network of one run, once at each step where a measurement is due.

    The noises are the same at each step and in each run, so only the network differs.
    """

    def __init__(self, config: TrainConfig, images: ImageData, denoiser: Denoiser) -> None:
        self._config, self._denoiser = config, denoiser
        self._extractor: FeatureExtractor | None = None
        self._measured: tuple[int, KernelDistance] | None = None
        if config.kid_every_steps:
            self._extractor = extractor(Path(config.kid_weights) if config.kid_weights else None)
            reference, self._labels = reference_images(images, config.kid_images)
            pictures = unchanged(reference, config)
            self._reference = self._extractor(in_rgb(pictures))
            # A task makes its samples from these pictures.
            self._pictures = pictures if config.conditions else None
            self._sample = tf.function(self._drawn, autograph=False)

    def __str__(self) -> str:
        return f" KID by the features of {self._extractor}." if self._extractor else ""

    def due(self, step: int) -> bool:
        """Whether KID is measured at this step; a run that measures KID also does so at its end."""
        every, last = self._config.kid_every_steps, self._config.train_steps
        return every is not None and (step % every == 0 or step == last)

    def at(self, step: int, check: Callable[[], None] = lambda: None) -> KernelDistance:
        """KID of samples against held-out images, or training images if none are held out.

        NaN at steps where no measurement is due. `step` must be the current one. `check` is called
        between batches, and may raise an error to leave the measurement.
        """
        if self._extractor is None or not self.due(step):
            return UNKNOWN
        if self._measured is None or self._measured[0] != step:
            features = self._extractor(self.samples(check), check)
            self._measured = step, kid(features, self._reference)
        return self._measured[1]

    def candidate(
        self, step: int, eval_loss: float, check: Callable[[], None] = lambda: None
    ) -> Best | None:
        """Offer this step as a candidate for the best one; None if nothing was measured."""
        loss = None if math.isnan(eval_loss) else eval_loss
        if self._extractor is None:
            return None if loss is None else Best(step, loss)
        if not self.due(step):
            return None
        return Best(step, loss, "kid", self.at(step, check).mean, str(self._extractor))

    def samples(self, check: Callable[[], None] = lambda: None) -> NDArray[np.uint8]:
        """`kid_images` samples of the averaged network, uint8 [n, S, S, 3].

        Their labels are those of the reference images, without guidance; for a task, they are what
        it makes of these images.
        """
        count, size = self._config.kid_images, self._config.image_size
        shape = (min(_BATCH, count), size, size, len(self._denoiser.pixel_mean))
        # Whole batches, so that one graph draws them all; the surplus of the last one is cut off.
        labels = np.resize(self._labels, (math.ceil(count / shape[0]), shape[0]))
        seeds = (stream_seed(0, KID_NOISE, tf.constant(n, tf.int64)) for n in range(len(labels)))
        noises = (tf.random.stateless_normal(shape, seed) for seed in seeds)
        drawn = []
        for number, (noise, of_batch) in enumerate(zip(noises, labels, strict=True)):
            check()
            of_task = self._of_task(number, len(of_batch))
            drawn.append(self._sample(noise, tf.constant(of_batch), *of_task).numpy())
        return in_rgb(np.concatenate(drawn)[:count])

    def _of_task(self, number: int, size: int) -> list[tf.Tensor]:
        """The pictures of batch `number`, and this number; nothing without a task."""
        if self._pictures is None:
            return []
        rows = np.arange(number * size, (number + 1) * size) % len(self._pictures)
        return [tf.constant(self._pictures[rows]), tf.constant(number, tf.int64)]

    def _drawn(self, noise: tf.Tensor, labels: tf.Tensor, *of_task: tf.Tensor) -> tf.Tensor:
        if of_task:
            pictures, number = of_task
            return restored(self._config, self._denoiser, noise, pictures, labels, number)[1]
        conditioning = conditioning_for(self._denoiser, labels, guidance=1.0)
        return Sampling(self._denoiser).sample(noise, KID_STEPS, conditioning=conditioning)


def in_rgb(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images [n, S, S, 1] or [n, S, S, 3] as the latter, which extractors of features take."""
    return np.broadcast_to(images, (*images.shape[:3], 3))


def reference_images(images: ImageData, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """At most `count` held-out images from all over the set, or training images without them.

    Images uint8 [n, R, R, C] and labels int64 [n], −1 for none. Raises InputError for fewer than 2.
    """
    source = images.held_out if len(images.held_out) > 1 else images.train
    if len(source) < 2:
        problem = f"the data has {len(source)} image, and KID compares with at least 2"
        raise InputError(f"kid_every_steps: {problem}; leave the flag out, or give more images")
    indices = np.linspace(0, len(source) - 1, min(count, len(source))).round().astype(np.int64)
    return source.take(indices), source.labels[indices]
