"""Bakes another project's network to measure it: the U-Net of Keras's DDIM example, at 64 × 64.

    python benchmarks/keras_example.py --bundle=example.bundle
    diffkiln-bench --bundle=example.bundle --batch_sizes=1,8,32 --compare

Its weights are random, since the time does not depend on them. It has 1.14 G multiply-adds for an
image and step, in 3×3 convolutions of 32 to 128 channels, into which BatchNormalization is folded.
"""

import math
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from absl import app, flags
from keras import layers, ops

from diffkiln.export import export_bundle

FLAGS = flags.FLAGS

SIZE, WIDTHS, BLOCKS = 64, (32, 64, 96, 128), 2
FREQUENCIES = 16

flags.DEFINE_string("bundle", None, "folder to write", required=True)
flags.DEFINE_bool("overwrite", False, "replace an existing bundle")


def embedded(noise_variance: keras.KerasTensor) -> keras.KerasTensor:
    """Sines and cosines of the noise variance [N, 1, 1, 1], the same at every pixel."""
    octaves = [1000 ** (index / (FREQUENCIES - 1)) for index in range(FREQUENCIES)]
    angles = noise_variance * ops.array([[[[2 * math.pi * octave for octave in octaves]]]])
    waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
    return layers.UpSampling2D(SIZE)(waves)


def residual_block(image: keras.KerasTensor, width: int) -> keras.KerasTensor:
    kept = image if image.shape[-1] == width else layers.Conv2D(width, 1)(image)
    changed = layers.BatchNormalization(center=False, scale=False)(image)
    changed = layers.Conv2D(width, 3, padding="same", activation="swish")(changed)
    return kept + layers.Conv2D(width, 3, padding="same")(changed)


def u_net() -> keras.Model:
    """[noisy images [N, 64, 64, 3], noise variance [N, 1, 1, 1]] → noise."""
    noisy: Any = keras.Input((SIZE, SIZE, 3))
    noise_variance: Any = keras.Input((1, 1, 1))
    *outer, innermost = WIDTHS
    image = layers.Conv2D(outer[0], 1)(noisy)
    image = layers.Concatenate()([image, embedded(noise_variance)])
    skipped = []
    for width in outer:
        for _ in range(BLOCKS):
            image = residual_block(image, width)
            skipped.append(image)
        image = layers.AveragePooling2D(2)(image)
    for _ in range(BLOCKS):
        image = residual_block(image, innermost)
    for width in reversed(outer):
        image = layers.UpSampling2D(interpolation="bilinear")(image)
        for _ in range(BLOCKS):
            image = layers.Concatenate()([image, skipped.pop()])
            image = residual_block(image, width)
    return keras.Model([noisy, noise_variance], layers.Conv2D(3, 1)(image))


def main(_: list[str]) -> None:
    keras.utils.set_random_seed(0)
    certificate = export_bundle(
        u_net(),
        Path(FLAGS.bundle),
        pixel_mean=0.5,
        pixel_std=0.25,
        prediction="noise",
        conditioning="noise_variance",
        graphs=("sampler", "noise", "step", "denoiser"),
        overwrite=FLAGS.overwrite,
    )
    print(certificate.table())


if __name__ == "__main__":
    app.run(main)
