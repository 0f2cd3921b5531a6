"""Trains the small network whose features KID compares, on Oxford Flowers' labels.

    python benchmarks/train_features.py --data_dir=DATA --out=trainer/flower_features.npz

It sees train and test, without the pictures that are also in validation, and is measured on
validation. The file holds its convolutions, with the normalisation folded in, and not the layer
that names the species. Afterwards, write the printed SHA-256 into trainer/quality/features.py.
"""

import hashlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from flowers import flowers

from diffkiln.trainer.quality.features import INPUT_SIZE, POOLED, STRIDES, features, prepared

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "folder of the prepared oxford_flowers102", required=True)
flags.DEFINE_string("out", "trainer/flower_features.npz", "file to write")
flags.DEFINE_integer("epochs", 60, "how often every picture is seen", lower_bound=1)
flags.DEFINE_integer("seed", 0, "of weights, order and augmentation")

SPECIES = 102
WIDTHS = (24, 32, 48, 48, 64)
BATCH_SIZE = 64
# The size of pictures before they are cropped at random to the network's input.
CROPPED_FROM = INPUT_SIZE + 8


def augmented(image: tf.Tensor, label: tf.Tensor, number: tf.Tensor):
    """Crop and change a picture at random, by its `number` in training; return its species too."""
    size = (INPUT_SIZE, INPUT_SIZE, 3)
    seeds = [tf.stack([tf.constant(FLAGS.seed, tf.int64), 8 * number + k]) for k in range(1, 5)]
    image = tf.image.stateless_random_crop(tf.cast(image, tf.float32), size, seeds[0])
    image = tf.image.stateless_random_flip_left_right(image, seeds[1])
    image = tf.image.stateless_random_brightness(image, 40.0, seeds[2])
    image = tf.image.stateless_random_contrast(image, 0.8, 1.25, seeds[3])
    return prepared(tf.clip_by_value(image, 0.0, 255.0)), label


def batches(images: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    """Batches of one epoch after another, without end."""
    with tf.device("cpu"):
        pictures, species = tf.constant(images), tf.constant(labels)
    order = tf.data.Dataset.range(len(images)).shuffle(len(images), seed=FLAGS.seed).repeat()

    def example(number: tf.Tensor, index: tf.Tensor):
        return augmented(pictures[index], species[index], number)

    examples = order.enumerate().map(example, num_parallel_calls=2)
    return examples.batch(BATCH_SIZE, drop_remainder=True).prefetch(4)


def classifier() -> keras.Model:
    x = first = keras.Input((INPUT_SIZE, INPUT_SIZE, 3))
    for width, stride, pool in zip(WIDTHS, STRIDES, POOLED, strict=True):
        x = keras.layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.97)(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D(2)(x) if pool else x
    x = keras.layers.Dropout(0.1)(keras.layers.GlobalAveragePooling2D(name="features")(x))
    return keras.Model(first, keras.layers.Dense(SPECIES)(x))


def folded(network: keras.Model) -> dict[str, np.ndarray]:
    """Kernels and biases of the convolutions with the normalisation folded in: γ/σ·W, β − γ/σ·μ."""
    layers: list[Any] = network.layers
    convolutions = [layer for layer in layers if isinstance(layer, keras.layers.Conv2D)]
    normalisations = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    weights = {}
    for index, (convolution, norm) in enumerate(zip(convolutions, normalisations, strict=True)):
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        weights[f"kernel_{index}"] = convolution.get_weights()[0] * scale
        weights[f"bias_{index}"] = beta - scale * mean
    return weights


def scaled(weights: dict[str, np.ndarray], images: np.ndarray) -> dict[str, np.ndarray]:
    """Scale the last layer so that x·x/d has a mean of 1 for features x: KID's kernel cubes it."""
    factor = 1 / np.sqrt(np.mean(np.square(features(tf.constant(images), weights).numpy())))
    last = len(WIDTHS) - 1
    change = {f"{name}_{last}": weights[f"{name}_{last}"] * factor for name in ("kernel", "bias")}
    return {name: values.astype(np.float16) for name, values in {**weights, **change}.items()}


def main(_: list[str]) -> None:
    keras.utils.set_random_seed(FLAGS.seed)
    images, labels = flowers("train+test", FLAGS.data_dir, CROPPED_FROM)
    held_out, held_out_labels = flowers("validation", FLAGS.data_dir, CROPPED_FROM)
    in_validation = {image.tobytes() for image in held_out}
    kept = np.array([image.tobytes() not in in_validation for image in images])
    images, labels = images[kept], labels[kept]
    middle = slice((CROPPED_FROM - INPUT_SIZE) // 2, (CROPPED_FROM + INPUT_SIZE) // 2)
    held_out = held_out[:, middle, middle]
    steps = len(images) // BATCH_SIZE
    network: Any = classifier()
    rate: Any = keras.optimizers.schedules.CosineDecay(
        0.0, FLAGS.epochs * steps, warmup_target=4e-3, warmup_steps=steps
    )
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    network.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), loss, metrics=["accuracy"])
    data = batches(images, labels).map(lambda x, y: (x, tf.one_hot(y, SPECIES)))
    check = (prepared(tf.cast(held_out, tf.float32)), tf.one_hot(held_out_labels, SPECIES))
    network.fit(
        data,
        epochs=FLAGS.epochs,
        steps_per_epoch=steps,
        validation_data=check,
        validation_batch_size=255,
        verbose=2,
    )
    weights = scaled(folded(network), held_out)
    np.savez(FLAGS.out, allow_pickle=False, **weights)
    content = Path(FLAGS.out).read_bytes()
    print(f"{len(images):,} pictures, {len(held_out):,} held out; {len(content):,} bytes")
    print(f"SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    app.run(main)
