"""The average of the weights."""

import pytest
import tensorflow as tf

from diffkiln.trainer.training.ema import ema_decay, update_ema


def decay(images_seen: int, batch_size: int = 10, half_life_images: int = 1000) -> float:
    seen = tf.constant(images_seen, tf.int64)
    return float(ema_decay(seen, batch_size=batch_size, half_life_images=half_life_images))


def test_half_a_weight_is_left_after_the_half_life() -> None:
    assert decay(10**9) ** 100 == pytest.approx(0.5, abs=1e-4)


def test_decay_does_not_depend_on_the_batch() -> None:
    assert decay(10**9, batch_size=40) == pytest.approx(decay(10**9, batch_size=10) ** 4, abs=1e-6)


def test_young_averages_look_back_a_twentieth_of_what_was_seen() -> None:
    assert decay(2000) == pytest.approx(0.5 ** (10 / 100), abs=1e-6)


def test_update_moves_by_one_minus_decay() -> None:
    average, weight = tf.Variable(tf.constant([1.0, 2.0])), tf.Variable(tf.constant([2.0, 0.0]))
    update_ema([average], [weight], tf.constant(0.75))
    assert average.numpy().tolist() == [1.25, 1.5]
