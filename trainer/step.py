"""One training step: noise the images, measure the network's error, move the weights.

The gradient and the update are each one function that XLA can compile (`jit_compile`; left open,
it does on a GPU: on a CPU TensorFlow's own convolutions outrun what XLA saves between them). All
randomness comes from the seed and the step's number, so a step is the same whenever it is run.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .config import TrainConfig
from .diffusion import Denoiser, add_noise, training_target
from .ema import ema_decay, update_ema
from .recipe import LearningRate, loss_weight, stratified
from .run_directory import DataSummary
from .schedule import make_schedule
from .step_metrics import StepMetrics
from .streams import EVAL_NOISE, EVAL_TIME, NOISE, TIME, stream_seed
from .unet import build_unet


def make_denoiser(config: TrainConfig, data: DataSummary, network: keras.Model) -> Denoiser:
    """The network with what the run's settings and data say of it."""
    schedule = make_schedule(config.schedule, config.max_signal_rate, config.min_signal_rate)
    return Denoiser(network, schedule, config.prediction, data.pixel_mean, data.pixel_std)


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """Adam with clipped gradients and decoupled weight decay; loss scaling for float16."""
    rate: Any = LearningRate(
        config.learning_rate,
        warm_up_steps=config.warm_up_steps,
        decay=config.learning_rate_decay,
        total_steps=config.train_steps,
    )
    adam = keras.optimizers.Adam(
        rate,
        beta_2=0.99,
        global_clipnorm=config.gradient_clip_norm,
        weight_decay=config.weight_decay or None,
    )
    if config.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam


class Trainer:
    """The variables of a run and the functions that change them."""

    def __init__(self, config: TrainConfig, data: DataSummary) -> None:
        self.config = config
        self.network = build_unet(config.network, dtype=config.precision)
        self.average = build_unet(config.network)
        self.average.set_weights(self.network.get_weights())
        self.denoiser = make_denoiser(config, data, self.average)
        self.optimizer = make_optimizer(config)
        self.optimizer.build(self.network.trainable_variables)
        self.step = tf.Variable(tf.constant(0, tf.int64), trainable=False, name="step")
        self.metrics = StepMetrics()
        compiled = config.jit_compile
        if compiled is None:
            compiled = bool(tf.config.list_physical_devices("GPU"))
        self._gradient = tf.function(self._gradient_of, jit_compile=compiled)
        self._update = tf.function(self._update_with, jit_compile=compiled)
        self.evaluate = tf.function(self._evaluate, reduce_retracing=True)

    def begin_with(self, weights: list[np.ndarray]) -> None:
        """Give network and average these weights, in the order of their variables."""
        self.network.set_weights(weights)
        self.average.set_weights(weights)

    @tf.function
    def train(self, images: tf.Tensor) -> None:
        """One step on images uint8 [B, S, S, C]; `metrics` has what came of it."""
        losses, times, gradients = self._gradient(images, self.step)
        norm = tf.linalg.global_norm(gradients) / self._loss_scale()
        self._update(gradients)
        self.step.assign_add(1)
        scaled = self.config.precision == "mixed_float16"
        self.metrics.update(self.step, losses, times, norm, skips_overflow=scaled)

    @property
    def loss_scale(self) -> float:
        """What the loss is multiplied with against underflow; 1 but for mixed_float16."""
        return float(np.asarray(self._loss_scale()))

    def _loss_scale(self) -> tf.Tensor:
        # Keras scales its own constant, so that its scale need not be known.
        return tf.convert_to_tensor(self.optimizer.scale_loss(tf.constant(1.0)))

    def _gradient_of(self, images: tf.Tensor, step: tf.Tensor):
        with tf.GradientTape() as tape:
            losses, times = self._losses(self.network, images, step, noise=NOISE, time=TIME)
            scaled = self.optimizer.scale_loss(tf.reduce_mean(losses))
        return losses, times, tape.gradient(scaled, self.network.trainable_variables)

    def _update_with(self, gradients: list[tf.Tensor]) -> None:
        self.optimizer.apply(gradients, self.network.trainable_variables)
        decay = ema_decay(
            (self.step + 1) * self.config.batch_size,
            batch_size=self.config.batch_size,
            half_life_images=self.config.ema_half_life_images,
        )
        update_ema(self.average.trainable_variables, self.network.trainable_variables, decay)

    def _evaluate(self, images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """The averaged network's loss on batch `number`, with the same noise every time."""
        losses, _ = self._losses(self.average, images, number, noise=EVAL_NOISE, time=EVAL_TIME)
        return tf.reduce_mean(losses)

    def _losses(self, network, images: tf.Tensor, step: tf.Tensor, *, noise: int, time: int):
        """Weighted mean squared error of each prediction, and its time, both float32 [B].

        arXiv 2006.11239, equation 14, for ε.
        """
        denoiser, config = self.denoiser, self.config
        image = denoiser.normalise(tf.cast(images, tf.float32) / 255)
        epsilon = tf.random.stateless_normal(tf.shape(image), stream_seed(config.seed, noise, step))
        uniform = tf.random.stateless_uniform(
            tf.shape(image)[:1], stream_seed(config.seed, time, step)
        )
        if config.time_sampling == "stratified":
            uniform = stratified(uniform)
        times = denoiser.schedule.training_time(uniform)
        signal_rate, noise_rate = denoiser.schedule.rates(times[:, None, None, None])
        rates = {"signal_rate": signal_rate, "noise_rate": noise_rate}
        noisy = add_noise(image, epsilon, **rates)
        target = training_target(config.prediction, image, epsilon, **rates)
        error = tf.reduce_mean(
            tf.square(network([noisy, times], training=True) - target), [1, 2, 3]
        )
        weight = loss_weight(config.loss_weighting, config.prediction, **rates)
        return error * weight[:, 0, 0, 0], times
