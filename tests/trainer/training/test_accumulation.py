"""A batch that is computed in parts gives the numbers of the whole batch."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from pictures import synthetic_flowers

from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.run.directory import DataSummary
from diffkiln.trainer.training.step import Trainer

pytestmark = pytest.mark.slow

DATA = DataSummary("", 8, 0, (0.45, 0.4, 0.3), (0.3, 0.25, 0.28), tuple("abc"))


def config(**settings: Any) -> TrainConfig:
    small = {"image_size": 8, "batch_size": 8, "widths": (8,), "warm_up_steps": 0}
    return preset_config("tiny", **small, num_classes=3, learning_rate=1e-4, **settings)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_parts_add_up_to_the_batch(dropout: float) -> None:
    images = tf.constant(synthetic_flowers(8, image_size=8))
    labels = tf.constant([0, 1, 2, -1, 0, 1, 2, 2], tf.int64)
    rows, weights = [], []
    for parts in (1, 4):
        keras.utils.set_random_seed(0)
        trainer = Trainer(config(accumulation_steps=parts, dropout=dropout), DATA)
        for _ in range(3):
            trainer.train(images, labels)
        rows.append(trainer.metrics.take())
        weights.append(np.concatenate([each.ravel() for each in trainer.network.get_weights()]))
    for name, value in rows[0].items():
        # Sums of float32 in another order.
        assert rows[1][name] == pytest.approx(value, rel=1e-5, nan_ok=True), name
    # Adam moves a weight by up to 1e-4 a step, whatever the size of its gradient.
    np.testing.assert_allclose(*weights, atol=2e-5)
