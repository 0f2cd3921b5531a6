"""Small decoders and encoders of latents, and the settings of their models."""

from typing import Any

import keras
from keras import layers
from small_models import with_random_weights

SHAPE, FACTOR = (4, 4, 3), 4
LATENTS: dict[str, Any] = {"mean": 0.1, "std": 1.5, "pixel_mean": 0.5, "pixel_std": 0.25}


def repeating_decoder() -> keras.Model:
    """Images that repeat each latent, so that pixels are known."""
    latents = keras.Input(SHAPE, name="z")
    return keras.Model(latents, layers.UpSampling2D(FACTOR)(latents))


def averaging_encoder() -> keras.Model:
    """The mean of each block: the inverse of `repeating_decoder`."""
    images = keras.Input((16, 16, 3))
    return keras.Model(images, layers.AveragePooling2D(FACTOR)(images))


def convolutional_decoder() -> keras.Model:
    """Images of 16×16 with random weights."""
    latents = keras.Input(SHAPE)
    x = layers.Conv2DTranspose(8, 4, 2, padding="same", activation="tanh")(latents)
    x = layers.Conv2D(3, 3, padding="same")(layers.UpSampling2D(2)(x))
    return with_random_weights(keras.Model(latents, x))


def convolutional_encoder() -> keras.Model:
    """Mean and log-variance of latents, with random weights, in twice as many channels."""
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 4, 4, activation="tanh")(images)
    return with_random_weights(keras.Model(images, layers.Conv2D(6, 1)(x)), seed=1)
