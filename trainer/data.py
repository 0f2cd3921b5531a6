"""Images to train on: read once into memory, served in an order that any step can pick up.

Which images make up step k depends on the seed and k alone, so a run that stopped goes on with
exactly the images it would have seen.
"""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from .config import TrainConfig
from .errors import InputError
from .folder import folder_images
from .run_directory import DataSummary
from .streams import FLIP, stream_seed
from .synthetic import synthetic_flowers
from .tfds import tfds_images

SYNTHETIC_IMAGES = 2048
SYNTHETIC_EVAL_IMAGES = 256

logger = logging.getLogger("diffkiln.trainer")


@dataclass(frozen=True)
class ImageData:
    """Training and evaluation images, uint8 [n, S, S, 3]; there may be none to evaluate on."""

    train: np.ndarray
    evaluation: np.ndarray

    def summary(self) -> DataSummary:
        """Fingerprint, counts, and the training pixels' mean and standard deviation."""
        digest = hashlib.sha256(self.train.tobytes())
        digest.update(self.evaluation.tobytes())
        mean, std = _pixel_statistics(self.train)
        return DataSummary(digest.hexdigest(), len(self.train), len(self.evaluation), mean, std)


def load_images(config: TrainConfig, *, download: bool = False) -> ImageData:
    """Read all images of `config.data`, cropped and resized to `config.image_size`.

    Raises InputError where there are none to be had.
    """
    data = _read(config, download=download)
    if not len(data.train):
        raise InputError(
            f"data={config.data}: no image is left to train on; expected split="
            f"{config.split} to hold images that eval_split={config.eval_split} does not"
        )
    return data


def _read(config: TrainConfig, *, download: bool) -> ImageData:
    kind, _, name = config.data.partition(":")
    size = config.image_size
    if kind == "synthetic":
        # Evaluation comes from the far end of one seed's flowers, so that the two never overlap.
        flowers = synthetic_flowers(
            SYNTHETIC_IMAGES + SYNTHETIC_EVAL_IMAGES, image_size=size, seed=config.seed
        )
        return ImageData(flowers[:SYNTHETIC_IMAGES], flowers[SYNTHETIC_IMAGES:])
    if kind == "folder":
        return ImageData(folder_images(Path(name), image_size=size).images, _none(size))
    train = tfds_images(name, config.split or "train", config, download=download)
    if config.eval_split is None:
        return ImageData(train, _none(size))
    evaluation = tfds_images(name, config.eval_split, config, download=download)
    return ImageData(without_copies(train, evaluation), evaluation)


def without_copies(images: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """The images that do not stand, pixel for pixel, among the held-out ones too."""
    known = {image.tobytes() for image in held_out}
    kept = [image.tobytes() not in known for image in images]
    if not all(kept):
        logger.warning("left out %d images that are held out too", len(kept) - sum(kept))
    return images[kept]


def batches(
    images: np.ndarray, config: TrainConfig, *, first_step: int, shard: tuple[int, int] = (0, 1)
) -> tf.data.Dataset:
    """Batches uint8 [B, S, S, 3], flipped at random, of steps `first_step`, `first_step` + 1, …

    `shard` is (k, n) for the k-th of n equal parts of each batch, uint8 [B / n, S, S, 3]. Every
    epoch shuffles anew; a batch may span two epochs, so no image is left out.
    """
    count, batch_size = len(images), config.batch_size
    part, rows = shard[0], batch_size // shard[1]
    seed, last = tf.constant(config.seed, tf.int64), tf.constant(count - 1, tf.int64)
    with tf.device("cpu"):
        pixels = tf.constant(images)

    def batch(step: tf.Tensor) -> tf.Tensor:
        position = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        epoch = position // count
        # The raw operator: its wrapper takes only one key for all positions.
        key = tf.stack([tf.fill([batch_size], seed), epoch, epoch], axis=1)
        index = tf.raw_ops.RandomIndexShuffle(
            index=position % count, seed=key, max_index=tf.fill([batch_size], last), rounds=4
        )
        own = slice(part * rows, (part + 1) * rows)
        chosen = tf.gather(pixels, index[own])
        coins = tf.random.stateless_uniform(
            [batch_size, 1, 1, 1], stream_seed(config.seed, FLIP, step)
        )
        flip = coins[own] < 0.5
        return tf.where(flip, tf.reverse(chosen, [2]), chosen)

    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    options = tf.data.Options()
    # Nothing is left to tune, and the tuner's thread can hold up the end of a run for ten seconds.
    options.autotune.enabled = False
    prepared = steps.map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)
    return prepared.with_options(options)


def _none(size: int) -> np.ndarray:
    return np.zeros((0, size, size, 3), np.uint8)


def _pixel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images, in units where 255 is 1."""
    counts = np.zeros((3, 256))
    for start in range(0, len(images), 512):  # bincount makes int64 of what it counts
        for channel in range(3):
            values = images[start : start + 512, ..., channel].ravel()
            counts[channel] += np.bincount(values, minlength=256)
    weights, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = weights @ levels
    std = np.sqrt((weights * (levels - mean[:, None]) ** 2).sum(axis=1))
    if std.min() < 1e-3:
        raise InputError(
            f"the images' channels have standard deviations {std.round(5).tolist()}: expected "
            "pictures that differ from one flat colour"
        )
    return tuple(mean.tolist()), tuple(std.tolist())
