"""Bakes another project's network to measure it: the U-Net of Keras's DDIM example.

    python benchmarks/keras_example.py --bundle=example.bundle
    diffkiln-bench --bundle=example.bundle --batch_sizes=1,8,32 --compare

Without more, its weights are random, since the time does not depend on them. With `--data_dir` and
`--epochs` it is trained on the flowers first, as the example trains it, and goes on from the folder
`--training` when it was stopped; then `--learn` learns tables for it. It has 1.14 G multiply-adds
for an image of 64 × 64 pixels and a step, in 3×3 convolutions of 32 to 128 channels, into which
BatchNormalization is folded. With an `--image_size` of 32 it is trained in a quarter of the time.
"""

import math
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from flowers import flowers
from keras import layers, ops
from numpy.typing import NDArray

from diffkiln.export import CosineSchedule, Learning, export_bundle
from diffkiln.trainer.maths.diffusion import add_noise

FLAGS = flags.FLAGS

WIDTHS, BLOCKS = (32, 64, 96, 128), 2
FREQUENCIES = 16
# What docs/report.md compares.
STEPS = (3, 4, 5, 6, 8, 10)

flags.DEFINE_string("bundle", None, "folder to write", required=True)
flags.DEFINE_integer("image_size", 64, "pixels of a side, a multiple of 8")
flags.DEFINE_bool("overwrite", False, "replace an existing bundle")
flags.DEFINE_string("data_dir", None, "folder of the prepared oxford_flowers102, to train on")
flags.DEFINE_integer("epochs", 0, "how often to train on all pictures of train and test")
flags.DEFINE_string("training", "training", "folder to keep what is trained in")
flags.DEFINE_bool("learn", False, "learn tables for pictures in a few steps")


def embedded(noise_variance: keras.KerasTensor) -> keras.KerasTensor:
    """Sines and cosines of the noise variance [N, 1, 1, 1], the same at every pixel."""
    octaves = [1000 ** (index / (FREQUENCIES - 1)) for index in range(FREQUENCIES)]
    angles = noise_variance * ops.array([[[[2 * math.pi * octave for octave in octaves]]]])
    waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
    return layers.UpSampling2D(FLAGS.image_size)(waves)


def residual_block(image: keras.KerasTensor, width: int) -> keras.KerasTensor:
    kept = image if image.shape[-1] == width else layers.Conv2D(width, 1)(image)
    changed = layers.BatchNormalization(center=False, scale=False)(image)
    changed = layers.Conv2D(width, 3, padding="same", activation="swish")(changed)
    return kept + layers.Conv2D(width, 3, padding="same")(changed)


def u_net() -> keras.Model:
    """[noisy images [N, size, size, 3], noise variance [N, 1, 1, 1]] → noise."""
    noisy: Any = keras.Input((FLAGS.image_size, FLAGS.image_size, 3))
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


class Training(keras.Model):
    """Learns the noise in images of mean 0 and standard deviation 1, by its absolute error."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__(network.inputs, network.outputs)
        self.schedule = CosineSchedule()

    def train_step(self, images: Any) -> dict[str, Any]:
        """Take one step on images float32 [N, H, W, C]."""
        noise = tf.random.normal(tf.shape(images))
        rates = self.schedule.rates(tf.random.uniform(tf.stack([tf.shape(images)[0], 1, 1, 1])))
        noisy = add_noise(images, noise, rates)
        with tf.GradientTape() as tape:
            predicted = self([noisy, tf.square(rates.noise)], training=True)
            error = tf.reduce_mean(tf.abs(noise - predicted))
        self.optimizer.apply(tape.gradient(error, self.trainable_variables))
        return {"error": error}


def train(network: keras.Model, mean: Any, std: Any, pictures: NDArray[np.uint8]) -> None:
    """Train on pictures uint8 [M, H, W, C]; the network ends with averaged weights."""
    images: Any = tf.data.Dataset.from_tensor_slices(pictures).shuffle(len(pictures))
    images = images.map(tf.image.random_flip_left_right).batch(16, drop_remainder=True)
    images = images.map(lambda each: (tf.cast(each, tf.float32) / 255 - mean) / std)
    model: Any = Training(network)
    averaged = {"use_ema": True, "ema_momentum": 0.999}
    optimizer: Any = keras.optimizers.AdamW(1e-3, weight_decay=1e-4, **averaged)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, jit_compile=False)  # XLA takes 1.6 of the time on a CPU
    kept = keras.callbacks.BackupAndRestore(FLAGS.training, delete_checkpoint=False)
    # The averaged weights replace the trained ones when `fit` ends, so it is called once.
    model.fit(images, epochs=FLAGS.epochs, callbacks=[kept], verbose=2)


def main(_: list[str]) -> None:
    keras.utils.set_random_seed(0)
    network, mean, std = u_net(), np.full(3, 0.5), np.full(3, 0.25)
    if FLAGS.epochs:
        pictures = flowers("train+test", FLAGS.data_dir, FLAGS.image_size)[0]
        mean, std = pictures.mean(axis=(0, 1, 2)) / 255, pictures.std(axis=(0, 1, 2)) / 255
        train(network, mean.astype(np.float32), std.astype(np.float32), pictures)
    certificate = export_bundle(
        network,
        Path(FLAGS.bundle),
        pixel_mean=mean.tolist(),
        pixel_std=std.tolist(),
        prediction="noise",
        conditioning="noise_variance",
        solver="dpmpp_2m" if FLAGS.learn else "ddim",
        time_grid="linspace" if FLAGS.learn else "linear",
        graphs=("sampler", "noise", "step", "denoiser"),
        learning=Learning(steps=STEPS, iterations=25) if FLAGS.learn else None,
        overwrite=FLAGS.overwrite,
    )
    print(certificate.table())


if __name__ == "__main__":
    app.run(main)
