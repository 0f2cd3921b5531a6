"""Held-out loss is the same measure in every run."""

import tensorflow as tf

from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.run.directory import DataSummary
from diffkiln.trainer.training.step import Trainer

DATA = DataSummary("", 1, 0, (0.5,) * 3, (0.25,) * 3)


def held_out_loss(seed: int, time_sampling: str, number: int = 0) -> float:
    """Of a network that puts out zeros, as all do at first: by noises and times alone."""
    config = preset_config(
        "tiny", image_size=16, widths=(8,), seed=seed, time_sampling=time_sampling
    )
    images = tf.cast(tf.reshape(tf.range(8 * 16 * 16 * 3) % 251, (8, 16, 16, 3)), tf.uint8)
    labels = tf.fill([8], tf.constant(-1, tf.int64))
    return float(Trainer(config, DATA).evaluate(images, labels, tf.constant(number, tf.int64)))


def test_it_depends_neither_on_the_seed_nor_on_how_times_are_drawn() -> None:
    loss = held_out_loss(0, "uniform")
    assert held_out_loss(5, "uniform") == loss
    assert held_out_loss(0, "stratified") == loss
    assert held_out_loss(0, "uniform", number=64) != loss
