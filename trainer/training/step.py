"""One training step: noise the images, measure the network's error, move the weights.

The gradient and the update are each one function that XLA can compile (`jit_compile`; left open,
it does on a GPU: on a CPU TensorFlow's own convolutions outrun what XLA saves between them). All
randomness comes from the seed and the step's number, so a step is the same whenever it is run, and
on as many devices as it may be (see `replicas`).
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..config import TrainConfig
from ..maths.diffusion import Denoiser, add_noise, training_target
from ..maths.schedules import make_schedule
from ..network.unet import build_unet
from ..run.directory import DataSummary
from ..streams import EVAL_NOISE, EVAL_TIME, LABEL, NOISE, TIME, stream_seed
from .ema import ema_decay, update_ema
from .recipe import LearningRate, loss_weight, stratified
from .replicas import Replicas, make_replicas
from .step_metrics import StepMetrics


def make_denoiser(config: TrainConfig, data: DataSummary, network: keras.Model) -> Denoiser:
    """The network with what the run's settings and data say of it."""
    schedule = make_schedule(config.schedule, config.max_signal_rate, config.min_signal_rate)
    return Denoiser(
        network,
        schedule,
        config.prediction,
        data.pixel_mean,
        data.pixel_std,
        num_classes=config.num_classes,
    )


class _Adam(keras.optimizers.Adam):
    """Adam for gradients that are sums over all replicas already.

    Keras adds them up after clipping, which would clip each replica's own.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple]) -> list[tuple]:
        return grads_and_vars


def make_optimizer(config: TrainConfig) -> keras.optimizers.Optimizer:
    """Adam with clipped gradients and decoupled weight decay; loss scaling for float16."""
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


class Trainer:
    """The variables of a run and the functions that change them."""

    def __init__(
        self, config: TrainConfig, data: DataSummary, replicas: Replicas | None = None
    ) -> None:
        self.config = config
        self.replicas = replicas or make_replicas("none")
        with self.replicas.strategy.scope():
            self.network = build_unet(config.network, dtype=config.precision)
            self.average = build_unet(config.network)
            self.average.set_weights(self.network.get_weights())
            self.optimizer = make_optimizer(config)
            self.optimizer.build(self.network.trainable_variables)
        self.step = tf.Variable(tf.constant(0, tf.int64), trainable=False, name="step")
        self.denoiser = make_denoiser(config, data, self.average)
        self.metrics = StepMetrics()
        compiled = config.jit_compile
        if compiled is None:
            compiled = bool(tf.config.list_physical_devices("GPU"))
        # No Python statement here depends on a tensor, and reading them all takes seconds.
        settings = {"jit_compile": compiled, "autograph": False}
        self._gradient = tf.function(self._gradient_of, **settings)
        self._update = tf.function(self._update_with, **settings)
        self.evaluate = tf.function(self._evaluate, reduce_retracing=True, autograph=False)

    def begin_with(self, weights: list[np.ndarray]) -> None:
        """Give network and average these weights, in the order of their variables."""
        self.network.set_weights(weights)
        self.average.set_weights(weights)

    @tf.function(autograph=False)
    def train(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """One step on this worker's part of the batch.

        Images are uint8 [B / workers, S, S, C] and labels int64 [B / workers]. `metrics` has what
        came of it, on all replicas together.
        """
        losses, times, norm = self.replicas.run(self._train_replica, images, labels)
        if not self.replicas.is_default:
            self._move_average()
        self.step.assign_add(1)
        scaled = self.config.precision == "mixed_float16"
        self.metrics.update(self.step, losses, times, norm, skips_overflow=scaled)

    def _train_replica(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Losses and times float32 [B] of the whole batch, and the norm of its gradient."""
        replicas = self.replicas
        images, labels = replicas.rows_here(images), replicas.rows_here(labels)
        losses, times, gradients = self._gradient(images, labels, self.step)
        gradients = replicas.total(gradients)
        norm = tf.linalg.global_norm(gradients) / self._loss_scale()
        if replicas.is_default:
            self._update(gradients)
        else:
            # Variables on several devices can be changed neither by XLA nor in a nested function.
            self.optimizer.apply(gradients, self.network.trainable_variables)
        return replicas.gathered(losses), replicas.gathered(times), norm

    @property
    def loss_scale(self) -> float:
        """What the loss is multiplied with against underflow; 1 but for mixed_float16."""
        return float(np.asarray(self._loss_scale()))

    def _loss_scale(self) -> tf.Tensor:
        # Keras scales its own constant, so that its scale need not be known.
        return tf.convert_to_tensor(self.optimizer.scale_loss(tf.constant(1.0)))

    def _gradient_of(self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor):
        """Losses and times of this replica's images, and their part of the batch's gradient."""
        batch_size, seed = tf.constant(self.config.batch_size), self.config.seed
        epsilon, uniform = self._draws(batch_size, step, seed=seed, noise=NOISE, time=TIME)
        if self.config.time_sampling == "stratified":
            uniform = stratified(uniform)
        draws = map(self.replicas.rows, (epsilon, uniform))
        if self.config.num_classes is not None:
            kept = self.replicas.rows(self._keeps_label(batch_size, step))
            labels = tf.where(kept, labels, -tf.ones_like(labels))
        with tf.GradientTape() as tape:
            losses, times = self._losses(self.network, images, labels, *draws)
            mean = tf.reduce_mean(losses) / self.replicas.count
            scaled = self.optimizer.scale_loss(mean)
        gradients = tape.gradient(scaled, self.network.trainable_variables)
        # That of a table is one of its rows, which no other part of a step takes.
        return losses, times, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _keeps_label(self, images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Whether an image's class is told, bool [N]; the network learns to do without as well."""
        seed = stream_seed(self.config.seed, LABEL, step)
        return tf.random.stateless_uniform(images[None], seed) >= self.config.label_dropout

    def _update_with(self, gradients: list[tf.Tensor]) -> None:
        self.optimizer.apply(gradients, self.network.trainable_variables)
        self._move_average()

    def _move_average(self) -> None:
        decay = ema_decay(
            (self.step + 1) * self.config.batch_size,
            batch_size=self.config.batch_size,
            half_life_images=self.config.ema_half_life_images,
        )
        update_ema(self.average.trainable_variables, self.network.trainable_variables, decay)

    def _evaluate(self, images: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """The averaged network's loss on batch `number`.

        Noise and times are the same in every run, whatever its seed, so that runs compare, and the
        times go all over the range.
        """
        count = tf.shape(images)[0]
        epsilon, uniform = self._draws(count, number, seed=0, noise=EVAL_NOISE, time=EVAL_TIME)
        losses, _ = self._losses(self.average, images, labels, epsilon, stratified(uniform))
        return tf.reduce_mean(losses)

    def _draws(self, images: tf.Tensor, step: tf.Tensor, *, seed: int, noise: int, time: int):
        """Noise float32 [N, S, S, C] and numbers in [0, 1), float32 [N], of a batch of N images."""
        size, channels = self.config.image_size, len(self.denoiser.pixel_mean)
        shape = tf.stack([images, size, size, channels])
        epsilon = tf.random.stateless_normal(shape, stream_seed(seed, noise, step))
        uniform = tf.random.stateless_uniform(shape[:1], stream_seed(seed, time, step))
        return epsilon, uniform

    def _losses(
        self,
        network: keras.Model,
        images: tf.Tensor,
        labels: tf.Tensor,
        epsilon: tf.Tensor,
        uniform: tf.Tensor,
    ):
        """Weighted mean squared error of each prediction, and its time, both float32 [N].

        arXiv 2006.11239, equation 14, for ε.
        """
        denoiser, config = self.denoiser, self.config
        image = denoiser.normalise(tf.cast(images, tf.float32) / 255)
        times = denoiser.schedule.training_time(uniform)
        signal_rate, noise_rate = denoiser.schedule.rates(times[:, None, None, None])
        rates = {"signal_rate": signal_rate, "noise_rate": noise_rate}
        noisy = add_noise(image, epsilon, **rates)
        target = training_target(config.prediction, image, epsilon, **rates)
        inputs = [noisy, times] if config.num_classes is None else [noisy, times, labels]
        error = tf.reduce_mean(tf.square(network(inputs, training=True) - target), [1, 2, 3])
        weight = loss_weight(config.loss_weighting, config.prediction, **rates)
        return error * weight[:, 0, 0, 0], times
