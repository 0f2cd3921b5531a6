"""Training of an autoencoder, whose latents another run learns to draw.

The loss is that of latent diffusion (arXiv 2112.10752, appendix G) without its discriminator and
its perceptual distance: the absolute errors of the pixels, and a little of the KL divergence of the
latents from a standard normal distribution, which keeps their scale.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ..config import TrainConfig
from ..data.cache import Images
from ..network.autoencoder import latent_shape, split_moments
from ..quality.reconstruction import Reconstruction, reconstruction
from ..run.directory import DataSummary
from ..streams import named_seed
from .replicas import Replicas
from .step import Batch, Trainer
from .step_metrics import PartMetrics

# What a number's KL divergence weighs, beside a pixel's absolute error (as in latent diffusion).
KL_WEIGHT = 1e-6


class AutoencoderTrainer(Trainer):
    """The variables of an autoencoder, and the functions that change them."""

    def __init__(
        self, config: TrainConfig, data: DataSummary, replicas: Replicas | None = None
    ) -> None:
        super().__init__(config, data, replicas)
        shape = config.network
        numbers = tf.TensorShape(shape.shape).num_elements() or 1
        latents = tf.TensorShape(latent_shape(shape)).num_elements() or 1
        # Both are means here, and sums over an image there.
        self._kl_weight = KL_WEIGHT * latents / numbers
        skips = config.precision == "mixed_float16"
        self.metrics = PartMetrics(self._kl_weight, skips_overflow=skips)

    def compared(self, images: Images, held_out: Batch) -> Reconstruction:
        """The pictures that the averaged autoencoder makes of others."""
        return reconstruction(self.config, self.average, self.denoiser, images, held_out)

    def _inputs(self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> list[tf.Tensor]:
        """The images of this replica, and the noise of their latents."""
        del labels
        seed = named_seed(self.config.seed, "posterior", step)
        noise = self._noise(tf.constant(self.config.batch_size), seed)
        return [images, self.replicas.rows(noise)]

    def _losses(self, *inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of each image, and the mean KL divergence of its latents, both float32 [n]."""
        return self._losses_of(self.network, *inputs)

    def _evaluate(self, images: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """The averaged network's loss on batch `number`, float32 [], with every run's noise."""
        del labels
        seed = named_seed(0, "held-out posterior", number)
        values, _ = self._losses_of(self.average, images, self._noise(tf.shape(images)[0], seed))
        return tf.reduce_mean(values)

    def _losses_of(
        self, network: Callable[..., Any], images: tf.Tensor, noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        image = self.denoiser.normalise(tf.cast(images, tf.float32) / 255)
        drawn, moments = network([image, noise], training=True)
        error = tf.reduce_mean(tf.abs(drawn - image), axis=[1, 2, 3])
        kl = tf.reduce_mean(kl_divergence(moments), axis=[1, 2, 3])
        return error + self._kl_weight * kl, kl

    def _noise(self, count: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        shape = tf.stack([count, *latent_shape(self.config.network)])
        return tf.random.stateless_normal(shape, seed)


def kl_divergence(moments: tf.Tensor) -> tf.Tensor:
    """(mean² + variance − 1 − ln variance)/2 of each latent (arXiv 1312.6114, appendix B)."""
    mean, log_variance = split_moments(moments)
    return 0.5 * (tf.square(mean) + tf.exp(log_variance) - 1.0 - log_variance)
