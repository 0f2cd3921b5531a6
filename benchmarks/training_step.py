"""What XLA gains in a training step: the same step with and without it, in turns in one run.

    python benchmarks/training_step.py --preset=flowers64

Prints the median of pairwise ratios (time without XLA over time with it), images per second, and
the share of the machine's peak that the step without XLA reaches: the multiply-adds of its
convolutions, forward and twice backward, over those of a large float32 matrix product. The inverse
of the share bounds what any compiler could gain.
"""

import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from absl import app, flags
from measuring import Task, in_turns, ratios, seconds

from diffkiln.trainer.config import PRECISIONS
from diffkiln.trainer.network.size import multiply_adds
from diffkiln.trainer.presets import PRESETS, preset_config
from diffkiln.trainer.run.directory import DataSummary
from diffkiln.trainer.training.step import Trainer

FLAGS = flags.FLAGS

flags.DEFINE_enum("preset", "flowers64", list(PRESETS), "network and batch")
flags.DEFINE_enum("precision", "float32", list(PRECISIONS), "precision of the network")
flags.DEFINE_integer("rounds", 9, "pairs of steps to time", lower_bound=1)


def make_trainer(*, jit_compile: bool) -> Trainer:
    config = preset_config(FLAGS.preset, precision=FLAGS.precision, jit_compile=jit_compile)
    data = DataSummary("", 1, 0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Trainer(config, data)


def step(trainer: Trainer, images: tf.Tensor) -> Task:
    """One step on the images."""
    labels = tf.fill(tf.shape(images)[:1], tf.constant(-1, tf.int64))

    def task() -> None:
        trainer.train(images, labels)
        trainer.metrics.take()  # which waits for the step

    task()
    return task


def multiply_adds_per_second(size: int = 3072) -> float:
    """The rate of a product of two float32 matrices of this size, the median of seven."""
    matrix = tf.random.stateless_normal((size, size), (0, 0))
    product = tf.function(lambda: tf.reduce_sum(matrix @ matrix))
    times = [seconds(lambda: float(product())) for _ in range(8)]
    return size**3 / statistics.median(times[1:])


def main(_: list[str]) -> None:
    plain, compiled = make_trainer(jit_compile=False), make_trainer(jit_compile=True)
    config = plain.config
    shape = (config.batch_size, config.image_size, config.image_size, 3)
    images = tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    steps = {"without": step(plain, images), "with": step(compiled, images)}
    times = in_turns(steps, rounds=FLAGS.rounds)
    ratio = ratios(times, "with")["without"]
    rates = {name: config.batch_size / statistics.median(times[name]) for name in steps}
    print(f"{FLAGS.preset}, {FLAGS.precision}, batch {config.batch_size}: XLA is {ratio:.2f}×")
    print(f"({rates['without']:.0f} images/s without, {rates['with']:.0f} with)")
    share = 3 * multiply_adds(plain.network) * rates["without"] / multiply_adds_per_second()
    print(f"Without XLA: {share:.0%} of a float32 matrix product's peak.")


if __name__ == "__main__":
    app.run(main)
