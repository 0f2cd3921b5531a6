"""What XLA does for a training step: the same step with and without, interleaved in one run.

    python benchmarks/training_step.py --preset=flowers64

Prints the median of pairwise ratios (time without XLA over time with), images per second, and how
near the step without XLA is to the machine's peak: the multiply-adds of its convolutions, forward
and twice backward, over those of a large float32 matrix product. Its inverse bounds what any
compiler could gain.
"""

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl import app, flags

from diffkiln.trainer.config import PRECISIONS
from diffkiln.trainer.describe import multiply_adds
from diffkiln.trainer.presets import PRESETS, preset_config
from diffkiln.trainer.run.records import DataSummary
from diffkiln.trainer.training.step import Trainer

FLAGS = flags.FLAGS

flags.DEFINE_enum("preset", "flowers64", list(PRESETS), "network and batch")
flags.DEFINE_enum("precision", "float32", list(PRECISIONS), "what the network computes in")
flags.DEFINE_integer("rounds", 9, "pairs of steps to time", lower_bound=1)


def make_trainer(*, jit_compile: bool) -> Trainer:
    config = preset_config(FLAGS.preset, precision=FLAGS.precision, jit_compile=jit_compile)
    data = DataSummary("", 1, 0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Trainer(config, data)


def seconds(trainer: Trainer, images: tf.Tensor) -> float:
    labels = tf.fill(tf.shape(images)[:1], tf.constant(-1, tf.int64))
    started = time.perf_counter()
    trainer.train(images, labels)
    trainer.metrics.take()  # which waits for the step
    return time.perf_counter() - started


def multiply_adds_per_second(size: int = 3072) -> float:
    """What a product of two float32 matrices of this size reaches, the median of seven."""
    matrix = tf.random.stateless_normal((size, size), (0, 0))
    product = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    times = []
    for _ in range(8):
        started = time.perf_counter()
        float(product())
        times.append(time.perf_counter() - started)
    return size**3 / statistics.median(times[1:])


def main(_: list[str]) -> None:
    plain, compiled = make_trainer(jit_compile=False), make_trainer(jit_compile=True)
    config = plain.config
    shape = (config.batch_size, config.image_size, config.image_size, 3)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    for trainer in (plain, compiled):
        seconds(trainer, images)
        seconds(trainer, images)
    pairs = [(seconds(plain, images), seconds(compiled, images)) for _ in range(FLAGS.rounds)]
    ratio = statistics.median(without / with_xla for without, with_xla in pairs)
    medians = [config.batch_size / statistics.median(times) for times in zip(*pairs, strict=True)]
    print(
        f"{FLAGS.preset}, {FLAGS.precision}, batch {config.batch_size}: XLA is {ratio:.2f}× ",
        end="",
    )
    print(f"({medians[0]:.0f} images/s without, {medians[1]:.0f} with)")
    done = 3 * multiply_adds(plain.network) * medians[0]
    print(
        f"Without XLA: {done / multiply_adds_per_second():.0%} of a float32 matrix product's peak."
    )


if __name__ == "__main__":
    app.run(main)
