"""What training costs besides its gradients, and against a plain Keras `train_step`.

    python benchmarks/training_throughput.py --preset=tiny

Several ways to train one network on batches of one size take turns: this project's loop with
everything between steps (data, average, metrics, and a row with an evaluation now and then); a
Keras model with a `train_step` like Keras's DDIM example, in float32 without XLA; and a bare
gradient and Adam step on one batch that never changes, without XLA and with it. Prints medians of
pairwise ratios of images per second, then the cost of a preview and a checkpoint in steps, and the
growth of memory.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from measuring import Task, in_turns, ratios, resident_megabytes, seconds

from diffkiln.trainer.config import PRECISIONS, TrainConfig
from diffkiln.trainer.data.batches import batches
from diffkiln.trainer.data.load import load_images
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.presets import PRESETS, preset_config
from diffkiln.trainer.quality.quality import Quality
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.metrics import progress_bar
from diffkiln.trainer.training.checkpoint import Checkpoints
from diffkiln.trainer.training.loop import TrainingLoop
from diffkiln.trainer.training.step import Trainer
from diffkiln.trainer.training.stop import Stop

FLAGS = flags.FLAGS
flags.DEFINE_enum("preset", "tiny", list(PRESETS), "network and batch")
flags.DEFINE_enum("precision", "float32", list(PRECISIONS), "precision of all except plain Keras")
flags.DEFINE_integer("steps", 50, "steps of each turn", lower_bound=1)
flags.DEFINE_integer("rounds", 7, "turns", lower_bound=1)
flags.DEFINE_integer("memory_steps", 2000, "steps over which memory is measured")


class PlainModel(keras.Model):
    """Noise, predict, compare, Adam, and an average: everything in one `train_step`."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.normalizer = keras.layers.Normalization()
        self.network = build_unet(config.network)
        self.average = keras.models.clone_model(self.network)
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def train_step(self, images: tf.Tensor) -> dict[str, Any]:
        """One step on images float32 [B, S, S, C] in [0, 1]."""
        images = self.normalizer(images)
        noises = tf.random.normal(tf.shape(images))
        times = tf.random.uniform(tf.shape(images)[:1])
        angles = (tf.acos(0.95) + times * (tf.acos(0.02) - tf.acos(0.95)))[:, None, None, None]
        signals, noise_rates = tf.cos(angles), tf.sin(angles)
        noisy = signals * images + noise_rates * noises
        with tf.GradientTape() as tape:
            predicted = self.network([noisy, times], training=True)
            target = signals * noises - noise_rates * images
            loss = tf.reduce_mean(tf.square(predicted - target))
        weights = self.network.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.loss_tracker.update_state(loss)
        for mean, weight in zip(self.average.weights, self.network.weights, strict=True):
            mean.assign(0.999 * mean + 0.001 * weight)
        return {"loss": self.loss_tracker.result()}


def plain_turn(config: TrainConfig, images: Any) -> Task:
    """Steps of `PlainModel` under `fit`, on images cached in memory."""
    model: Any = PlainModel(config)
    pixels = images.take(np.arange(len(images)))
    model.normalizer.adapt(pixels[:256] / 255.0)
    model.compile(optimizer=keras.optimizers.AdamW(1e-3, weight_decay=1e-4), jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(pixels).cache().repeat().shuffle(2048)
    data = data.map(lambda image: tf.cast(image, tf.float32) / 255, num_parallel_calls=2)
    data = data.batch(config.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
    return lambda: model.fit(data, steps_per_epoch=FLAGS.steps, epochs=1, verbose=0)


def bare_turn(config: TrainConfig, images: Any, *, jit_compile: bool) -> Task:
    """A gradient and Adam's step on one batch, and nothing else."""
    network = build_unet(config.network, dtype=config.precision)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(network.trainable_variables)
    image = tf.constant(images.take(np.arange(config.batch_size)) / 127.5 - 1, tf.float32)
    times = tf.linspace(0.0, 1.0, config.batch_size)

    @tf.function(jit_compile=jit_compile)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(network([image, times], training=True) - image))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        return loss

    return lambda: [step() for _ in range(FLAGS.steps)][-1].numpy()


def our_turns(loop: TrainingLoop, config: TrainConfig, images: Any) -> Task:
    """The project's own steps, with everything between them."""
    data, bar = batches(images, config, first_step=0), progress_bar(10**6, 0, shown=False)
    numbers: Iterator[int] = iter(range(1, 10**6))
    return lambda: [loop.advance(next(numbers), data, bar) for _ in range(FLAGS.steps)]


def compare(turns: dict[str, Task], ours: str) -> float:
    """Print our images per second over each other way's; return the seconds of our step."""
    times = in_turns(turns, rounds=FLAGS.rounds)
    for name, ratio in ratios(times, ours).items():
        print(f"  our images a second over those of {name:40} {ratio:5.2f}")
    return statistics.median(times[ours]) / FLAGS.steps


def main(_: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = preset_config(FLAGS.preset, precision=FLAGS.precision)
        run = RunDirectory(Path(folder))
        images = load_images(config, cache_dir=run.cache)
        trainer = Trainer(config, images.summary())
        run.make()
        run.write_config(config, images.summary())
        checkpoints = Checkpoints(run, trainer)
        quality = Quality(config, images, trainer.denoiser)
        loop = TrainingLoop(run, images, trainer, checkpoints, quality, Stop())
        print(f"{FLAGS.preset}, {FLAGS.precision}, batch {config.batch_size}")
        turns = {
            "this loop itself": our_turns(loop, config, images.train),
            "a plain Keras train_step": plain_turn(config, images.train),
            "a bare step on one batch": bare_turn(config, images.train, jit_compile=False),
            "a bare step on one batch, XLA": bare_turn(config, images.train, jit_compile=True),
        }
        step = compare(turns, "this loop itself")
        for name, write in {"preview": loop.draw, "checkpoint": loop.save}.items():
            costs = []
            for now in range(1, 7):
                trainer.step.assign(now)  # a checkpoint is written once for each step
                costs.append(seconds(lambda write=write, now=now: write(now)))
            cost = statistics.median(costs[1:])
            print(f"  a {name} takes as long as {cost / step:.1f} steps")
        before = resident_megabytes()
        for turn in [turns["this loop itself"]] * (FLAGS.memory_steps // FLAGS.steps):
            turn()
        after = f"{FLAGS.memory_steps:,} steps later {resident_megabytes():.0f} MB"
        print(f"  memory: {before:.0f} MB, {after}")


if __name__ == "__main__":
    app.run(main)
