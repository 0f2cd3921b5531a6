"""A small variational autoencoder of pictures, whose latents a diffusion model may learn.

AutoencoderKL of latent diffusion (arXiv 2112.10752, section 3.1), made of the U-Net's residual
blocks without a time. The encoder halves the image until it is smaller by the factor, and gives the
mean and the log-variance of each latent (arXiv 1312.6114, equation 9). The decoder mirrors it.
"""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from ..config import NetworkConfig
from .blocks import Blocks

# The range of log-variances that count, as in the code of latent diffusion.
_LEAST, _MOST = -30.0, 20.0


class PosteriorSample(layers.Layer):
    """mean + √variance·ε, of `moments` [N, h, w, 2·c] and noise ε [N, h, w, c]."""

    def call(self, moments: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """[N, h, w, c]."""
        mean, log_variance = split_moments(moments)
        return mean + tf.exp(log_variance / 2) * noise


def split_moments(moments: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The mean and the log-variance, both [N, h, w, c], of an encoder's output [N, h, w, 2·c]."""
    mean, log_variance = tf.split(moments, 2, axis=-1)
    return mean, tf.clip_by_value(log_variance, _LEAST, _MOST)


def build_autoencoder(config: NetworkConfig, *, dtype: str = "float32") -> keras.Model:
    """A network of (images [N, S, S, C], noise [N, h, w, c]) → images, and moments of latents.

    Images are normalised, and all tensors float32; h = w = S/factor, and the moments are
    [N, h, w, 2·c]: means, then log-variances. Its layers `encoder` (images → moments) and `decoder`
    (latents → images) are models by themselves.
    """
    blocks = Blocks(dtype)
    images, noise = keras.Input(config.shape, name="images"), keras.Input(latent_shape(config))
    encoder, decoder = _encoder(blocks, config), _decoder(blocks, config)
    moments = encoder(images)
    drawn = decoder(blocks.exact(PosteriorSample)(moments, noise))
    return keras.Model([images, noise], [drawn, moments], name="autoencoder")


def latent_shape(config: NetworkConfig) -> tuple[int, int, int]:
    """Height, width and channels of an autoencoder's latents."""
    side = config.image_size // (config.factor or 1)
    return side, side, config.latent_channels or 1


def _encoder(blocks: Blocks, config: NetworkConfig) -> keras.Model:
    images = keras.Input(config.shape, name="pictures")
    x = blocks.conv(images, config.widths[0], bias="zeros")
    for level, width in enumerate(config.widths):
        x = blocks.pool(x) if level else x
        x = _residuals(blocks, x, width, config.blocks)
    _, _, channels = latent_shape(config)
    x = blocks.silu(blocks.normalise(x))
    moments = blocks.conv(x, 2 * channels, bias="zeros", dtype="float32")
    return keras.Model(images, moments, name="encoder")


def _decoder(blocks: Blocks, config: NetworkConfig) -> keras.Model:
    latents = keras.Input(latent_shape(config), name="latents")
    x: Any = blocks.conv(latents, config.widths[-1], bias="zeros")
    for level, width in reversed(list(enumerate(config.widths))):
        x = _residuals(blocks, x, width, config.blocks)
        x = blocks.enlarge(x) if level else x
    x = blocks.silu(blocks.normalise(x))
    drawn = blocks.conv(x, config.channels, kernel="zeros", bias="zeros", dtype="float32")
    return keras.Model(latents, drawn, name="decoder")


def _residuals(blocks: Blocks, x: Any, width: int, count: int) -> Any:
    for _ in range(count):
        x = blocks.residual(x, None, width)
    return x
