"""Distances between pictures by the features of a denoising network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.runtime import Sampler
from diffkiln.trainer.run.directory import RunDirectory
from diffkiln.trainer.run.weights import load_network
from diffkiln.trainer.training.distances import Features, distance

pytestmark = pytest.mark.slow

MODELS = Path(__file__).parents[3] / "models"


@pytest.fixture(scope="module")
def pictures() -> tf.Tensor:
    with Sampler(device="cpu") as sampler:
        drawn = sampler.sample(8) / 255
    _, data = RunDirectory(MODELS / "flowers64").read_config()
    return tf.constant((drawn - data.pixel_mean) / data.pixel_std, tf.float32)


@pytest.fixture(scope="module")
def soft(pictures: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(pictures, 3, 1, "SAME")


def features(policy: str) -> Features:
    run = RunDirectory(MODELS / "flowers64")
    config, _ = run.read_config()
    return Features(load_network(run.ema_weights, config.network), config.network, policy)


def as_far(pictures: tf.Tensor, soft: tf.Tensor, changed: tf.Tensor) -> tf.Tensor:
    """On the way to the changed pictures, as far away as the soft ones are."""
    share = distance(soft, pictures) / distance(changed, pictures)
    return pictures + share[:, None, None, None] * (changed - pictures)


def test_a_soft_picture_is_the_farthest(pictures: tf.Tensor, soft: tf.Tensor) -> None:
    seen, labels = features("float32"), tf.range(8, dtype=tf.int64)
    noise = tf.random.stateless_normal(tf.shape(pictures), (0, 0))
    changes = [1.2 * pictures, pictures + 1, pictures + noise, tf.roll(pictures, 1, 1)]
    others = [as_far(pictures, soft, changed) for changed in changes]
    for other in others:
        # Near 0, distances are not quite proportional to changes.
        np.testing.assert_allclose(distance(other, pictures), distance(soft, pictures), rtol=0.03)
    far = seen.distance(soft, pictures, labels).numpy()
    for other in others:
        assert far.mean() > seen.distance(other, pictures, labels).numpy().mean()
    np.testing.assert_array_equal(seen.distance(soft, soft, labels), 0)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_gradients_are_finite(policy: str, pictures: tf.Tensor, soft: tf.Tensor) -> None:
    seen, labels = features(policy), tf.range(8, dtype=tf.int64)
    for image in (soft, pictures, tf.zeros_like(pictures), 100 * pictures):
        with tf.GradientTape() as tape:
            tape.watch(image)
            far = seen.distance(image, pictures, labels)
        gradient: Any = tape.gradient(far, image)
        assert far.dtype == gradient.dtype == tf.float32
        assert np.isfinite(gradient).all()
