"""One training step: noise the images, measure the network's error, move the weights.

The gradient and the update are each one function that XLA can compile (`jit_compile`; left open,
it does on a GPU: on a CPU TensorFlow's own convolutions outrun what XLA saves between them). All
randomness comes from the seed and the step's number, so a step is the same whenever it is run.
"""

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from .config import TrainConfig
from .diffusion import Denoiser, add_noise, training_target
from .ema import ema_decay, update_ema
from .run_directory import DataSummary
from .schedule import make_schedule
from .streams import EVAL_NOISE, EVAL_TIME, NOISE, TIME, stream_seed
from .unet import build_unet


def make_denoiser(config: TrainConfig, data: DataSummary, network: keras.Model) -> Denoiser:
    """The network with what the run's settings and data say of it."""
    schedule = make_schedule(config.schedule, config.max_signal_rate, config.min_signal_rate)
    return Denoiser(network, schedule, config.prediction, data.pixel_mean, data.pixel_std)


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """Adam with a linear warm-up, gradients clipped to norm 1, loss scaling for float16."""
    learning_rate: Any = LinearWarmUp(config.learning_rate, config.warm_up_steps)
    adam = keras.optimizers.Adam(learning_rate, beta_2=0.99, global_clipnorm=1.0)
    if config.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam


@dataclass(frozen=True)
class LinearWarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate rises in equal steps to `rate` over `steps` steps and stays there."""

    rate: float
    steps: int

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Learning rate, float32 [], of the step numbered from 0."""
        done = (tf.cast(step, tf.float32) + 1) / max(self.steps, 1)
        return self.rate * tf.minimum(done, 1.0)


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
        compiled = config.jit_compile
        if compiled is None:
            compiled = bool(tf.config.list_physical_devices("GPU"))
        self._gradient = tf.function(self._gradient_of, jit_compile=compiled)
        self._update = tf.function(self._update_with, jit_compile=compiled)
        self.evaluate = tf.function(self._evaluate, reduce_retracing=True)

    @tf.function
    def train(self, images: tf.Tensor) -> tf.Tensor:
        """One step on images uint8 [B, S, S, C]; the loss, float32 []."""
        loss, gradients = self._gradient(images, self.step)
        self._update(gradients)
        self.step.assign_add(1)
        return loss

    def _gradient_of(self, images: tf.Tensor, step: tf.Tensor):
        with tf.GradientTape() as tape:
            loss = self._loss(self.network, images, step, noise=NOISE, time=TIME)
            scaled = self.optimizer.scale_loss(loss)
        return loss, tape.gradient(scaled, self.network.trainable_variables)

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
        return self._loss(self.average, images, number, noise=EVAL_NOISE, time=EVAL_TIME)

    def _loss(self, network, images: tf.Tensor, step: tf.Tensor, *, noise: int, time: int):
        """Mean squared error of the prediction (arXiv 2006.11239, equation 14, for ε)."""
        image = self.denoiser.normalise(tf.cast(images, tf.float32) / 255)
        epsilon = tf.random.stateless_normal(
            tf.shape(image), stream_seed(self.config.seed, noise, step)
        )
        uniform = tf.random.stateless_uniform(
            tf.shape(image)[:1], stream_seed(self.config.seed, time, step)
        )
        times = self.denoiser.schedule.training_time(uniform)
        signal_rate, noise_rate = self.denoiser.schedule.rates(times[:, None, None, None])
        noisy = add_noise(image, epsilon, signal_rate, noise_rate)
        target = training_target(
            self.config.prediction, image, epsilon, signal_rate=signal_rate, noise_rate=noise_rate
        )
        return tf.reduce_mean(tf.square(network([noisy, times], training=True) - target))
