"""Between the latents that a sampler denoises and the images that programs see.

Latent diffusion (arXiv 2112.10752). Pixels lie in [0, 1] here.
"""

from typing import cast

import tensorflow as tf

from ..network.codec import Codec
from ..network.places import CHANNELS_LAST


def decoded(codec: Codec, latents: tf.Tensor) -> tf.Tensor:
    """Pixels [N, H, W, C] of latents in their own units."""
    image = codec.decoder(latents)
    return tf.clip_by_value(image * tf.constant(codec.std) + tf.constant(codec.mean), 0.0, 1.0)


def encoded(codec: Codec, pixels: tf.Tensor) -> tf.Tensor:
    """Latents, in their own units, of pixels [N, H, W, C]."""
    if codec.encoder is None:
        raise ValueError("the codec has no encoder")
    return codec.encoder((pixels - tf.constant(codec.mean)) / tf.constant(codec.std))


def latent_mask(codec: Codec, mask: tf.Tensor) -> tf.Tensor:
    """Whether a latent shows anything that a mask uint8 [N, H, W, 1] marks; one for all channels.

    A latent at a place stands for the block of pixels there, as far as convolutions keep places.
    """
    height, width, _ = codec.image_shape
    place = cast("tuple[int, int]", codec.places)
    rows, columns = (codec.latent_shape[axis] for axis in place)
    blocks = [-1, rows, height // rows, columns, width // columns]
    marked = tf.reduce_max(tf.reshape(tf.cast(mask > 0, tf.float32), blocks), axis=[2, 4])
    return tf.expand_dims(marked, 3 if place == CHANNELS_LAST else 1) > 0
