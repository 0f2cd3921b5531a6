"""The training recipe: loss weights, times, optimizer and average, each as its paper has it."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ..config import LOSS_WEIGHTINGS, TrainConfig
from ..errors import check_choice
from ..maths.schedules import Rates

# The largest signal²/noise² that counts (Min-SNR, arXiv 2303.09556).
MIN_SNR_GAMMA = 5.0
# The average covers at most this share of the images seen, so that the first random weights do not
# dominate it early in a run (EDM, arXiv 2206.00364, ema_rampup).
RAMP_UP_RATIO = 0.05


def loss_weight(weighting: str, prediction: str, rates: Rates) -> tf.Tensor:
    """The weight of a prediction's squared error at these rates, float32 of their shape.

    The squared errors of ε, v and x_0 are one error on three scales: the error of x_0 is
    noise²/signal² times the error of ε, and noise² times the error of v. `uniform` leaves each
    scale. `velocity` converts each to the error of v. `min_snr` converts each to
    min(signal²/noise², 5) times the error of x_0 (arXiv 2303.09556). InputError for another name.
    """
    check_choice("loss_weighting", weighting, LOSS_WEIGHTINGS)
    ones, signal, noise = tf.ones_like(rates.signal), *map(tf.square, rates)
    if weighting == "uniform":
        return ones
    # At the ends of a schedule one rate is 0, and the weight is limited to 10⁶.
    of_noise = noise / tf.maximum(signal, 1e-6)
    of_image = {"noise": of_noise, "velocity": noise, "image": ones}[prediction]
    if weighting == "velocity":
        return of_image / tf.maximum(noise, 1e-6)
    return of_image * tf.minimum(signal / tf.maximum(noise, 1e-6), MIN_SNR_GAMMA)


def stratified(uniform: tf.Tensor) -> tf.Tensor:
    """One number in each of N equal parts of [0, 1), float32 [N], from N uniform numbers.

    Only the first is used: (u + i/N) mod 1, the low-discrepancy sampler of variational diffusion
    models (arXiv 2107.00630). Each number is uniform by itself.
    """
    count = tf.shape(uniform)[0]
    steps = tf.range(count, dtype=tf.float32) / tf.cast(count, tf.float32)
    # Rounding may reach 1 itself.
    return tf.minimum(tf.math.floormod(uniform[0] + steps, 1.0), 1.0 - 2.0**-24)


@keras.saving.register_keras_serializable("diffkiln")
class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """The rate rises to `peak` in `warm_up_steps` equal steps, and then follows its `decay`.

    With k the number of this step, counted from 1, and w the warm-up steps: `constant`: peak.
    `inverse_sqrt`: peak·√(w/k). `cosine`: peak·(1 + cos(π·(k − w)/(total − w)))/2.
    """

    def __init__(self, peak: float, *, warm_up_steps: int, decay: str, total_steps: int) -> None:
        self.peak, self.warm_up_steps = peak, warm_up_steps
        self.decay, self.total_steps = decay, total_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Learning rate, float32 [], of the step numbered from 0."""
        done, warm_up = tf.cast(step, tf.float32) + 1.0, max(float(self.warm_up_steps), 1.0)
        return self.peak * tf.minimum(done / warm_up, 1.0) * self._decayed(done, warm_up)

    def _decayed(self, done: tf.Tensor, warm_up: float) -> tf.Tensor:
        if self.decay == "constant":
            return tf.ones_like(done)
        if self.decay == "inverse_sqrt":
            return tf.minimum(tf.sqrt(warm_up / done), 1.0)
        share = (done - warm_up) / max(self.total_steps - warm_up, 1.0)
        return (1.0 + tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0))) / 2.0

    def get_config(self) -> dict[str, float | int | str]:
        """The arguments, for Keras to make the same schedule."""
        return dict(vars(self))


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


def ema_decay(images_seen: tf.Tensor, *, batch_size: int, half_life_images: int) -> tf.Tensor:
    """decay = 0.5^(batch_size / half-life), float32 []; the half-life grows with `images_seen`.

    `images_seen` counts the images of all steps so far, including this one.
    """
    seen = tf.cast(images_seen, tf.float32)
    half_life = tf.minimum(float(half_life_images), seen * RAMP_UP_RATIO)
    return tf.pow(0.5, batch_size / tf.maximum(half_life, 1e-8))


def update_ema(average: Sequence, weights: Sequence, decay: tf.Tensor) -> None:
    """average ← decay·average + (1 − decay)·weights, for variables in the same order."""
    for mean, weight in zip(average, weights, strict=True):
        mean.assign(mean + (1 - decay) * (tf.cast(weight, mean.dtype) - mean))
