"""Training in half precision: what stays float32, and what an overflow does."""

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from pictures import synthetic_flowers

from diffkiln.trainer.config import PRECISIONS
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.run.directory import DataSummary
from diffkiln.trainer.training.step import Trainer

pytestmark = pytest.mark.slow

NO_LABELS = tf.fill([8], tf.constant(-1, tf.int64))
DATA = DataSummary("", 8, 0, (0.45, 0.4, 0.3), (0.3, 0.25, 0.28))


@functools.cache
def trainer(precision: str) -> Trainer:
    """A trainer that tests share, since what they say holds after any number of its steps."""
    keras.utils.set_random_seed(0)
    return Trainer(
        preset_config(
            "tiny",
            image_size=16,
            batch_size=8,
            warm_up_steps=2,
            precision=precision,
            widths=(16,),
        ),
        DATA,
    )


@pytest.fixture(scope="module")
def images() -> tf.Tensor:
    return tf.constant(synthetic_flowers(8, image_size=16, seed=0))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_losses_are_finite_and_fall(precision: str, images: tf.Tensor) -> None:
    trained, losses = trainer(precision), []
    for _ in range(3):
        for _ in range(10):
            trained.train(images, NO_LABELS)
        losses.append(trained.metrics.take()["loss"])
    assert np.isfinite(losses).all()
    # One batch again and again, under other noise each time.
    assert losses[2] < 0.9 * losses[0]


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_the_ends_of_the_network_and_the_average_are_float32(precision: str) -> None:
    trained = trainer(precision)
    half = precision.removeprefix("mixed_")
    convolutions = [x for x in trained.network.layers if isinstance(x, keras.layers.Conv2D)]
    assert {layer.compute_dtype for layer in convolutions[:-1]} == {half}
    assert convolutions[-1].compute_dtype == trained.network.outputs[0].dtype == "float32"
    kept: list[Any] = [*trained.network.variables, *trained.average.variables]
    assert {variable.dtype for variable in kept} == {"float32"}
    assert trained.average.layers[-2].compute_dtype == "float32"


def test_an_overflow_lowers_the_loss_scale_and_skips_the_step(images: tf.Tensor) -> None:
    trained = trainer("mixed_float16")
    trained.train(images, NO_LABELS)
    before, scale = trained.network.get_weights(), trained.loss_scale
    moments = [np.asarray(variable) for variable in trained.optimizer.inner_optimizer.variables]
    # Beyond the largest number of float16 in the backward pass.
    trained.optimizer.dynamic_scale.assign(2.0**40)
    trained.train(images, NO_LABELS)
    assert trained.loss_scale == 2.0**39
    for old, new in zip(before, trained.network.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    for old, new in zip(moments, trained.optimizer.inner_optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(new), old)
    assert np.isfinite(trained.metrics.take()["gradient_norm"])
    trained.optimizer.dynamic_scale.assign(scale)
    trained.train(images, NO_LABELS)
    assert any(
        (old != new).any() for old, new in zip(before, trained.network.get_weights(), strict=True)
    )


def test_the_loss_scale_is_1_without_float16() -> None:
    assert trainer("float32").loss_scale == 1.0
