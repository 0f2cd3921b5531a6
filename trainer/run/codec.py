"""An autoencoder with its averaged weights, between pictures and latents."""

import logging

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..maths.diffusion import to_uint8
from .autoencoder import AutoencoderRun, write_copy
from .directory import RunDirectory
from .weights import load_network

_BATCH = 64

logger = logging.getLogger("diffkiln.trainer")


class Codec:
    """The encoder and the decoder of a run, in float32.

    Raises InputError if the weights cannot be read.
    """

    def __init__(self, source: AutoencoderRun) -> None:
        self._source = source
        self._network = load_network(source.run.ema_weights, source.config.network)
        self.encoder = self._network.get_layer("encoder")
        self.decoder = self._network.get_layer("decoder")
        self.pixel_mean, self.pixel_std = source.data.pixel_mean, source.data.pixel_std
        self._means = tf.function(self._means_of, reduce_retracing=True, autograph=False)

    def encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The means of the latents, float32 [n, h, w, c], of pictures uint8 [n, S, S, C]."""
        starts = range(0, len(pictures), _BATCH)
        parts = [self._means(tf.constant(pictures[start : start + _BATCH])) for start in starts]
        return np.concatenate([np.asarray(part) for part in parts])

    def decode(self, latents: tf.Tensor) -> tf.Tensor:
        """Pictures uint8 [n, S, S, C] of latents in their own units."""
        image = self.decoder(latents, training=False)
        pixels = image * tf.constant(self.pixel_std) + tf.constant(self.pixel_mean)
        return to_uint8(tf.clip_by_value(pixels, 0.0, 1.0))

    def copy_into(self, model: RunDirectory) -> str | None:
        """Write a copy into the run of a latent model, unless this is it; its fingerprint."""
        if self._source.run.path != model.autoencoder.path:
            if model.has_config:
                again = "was gone or damaged; it is written again, from"
                logger.warning("%s %s %s", model.autoencoder.path, again, self._source.run.path)
            write_copy(self._source, self._network, model)
        return AutoencoderRun(model.autoencoder, *model.autoencoder.read_config()).fingerprint()

    def _means_of(self, pictures: tf.Tensor) -> tf.Tensor:
        pixels = tf.cast(pictures, tf.float32) / 255
        image = (pixels - tf.constant(self.pixel_mean)) / tf.constant(self.pixel_std)
        return tf.split(self.encoder(image, training=False), 2, axis=-1)[0]
