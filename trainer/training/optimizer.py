"""The optimizer: Adam with clipped gradients and decoupled weight decay."""

from typing import Any

import keras

from ..config import TrainConfig
from .recipe import LearningRate


class _Adam(keras.optimizers.Adam):
    """Adam for gradients that are already summed over all replicas.

    Keras would sum them after clipping, and so clip each replica's own.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple]) -> list[tuple]:
        return grads_and_vars


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """Adam as the run's settings say, with loss scaling for mixed_float16."""
    rate: Any = LearningRate(
        config.learning_rate,
        warm_up_steps=config.warm_up_steps,
        decay=config.learning_rate_decay,
        total_steps=config.train_steps,
    )
    adam = _Adam(
        rate,
        beta_2=0.99,
        global_clipnorm=config.gradient_clip_norm,
        weight_decay=config.weight_decay or None,
        name="adam",
    )
    if config.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam
