"""One training step: noise the images, measure the network's error, move the weights.

All randomness follows from the seed and the step's number, so a step is the same whenever it runs,
and on any number of devices (see `replicas`).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ..conditions.tasks import held_out_draws, training_draws
from ..config import TrainConfig
from ..data.batches import batches
from ..data.cache import Images
from ..maths.diffusion import Denoiser
from ..maths.schedules import make_schedule
from ..network.networks import build_network
from ..quality.imitation import Imitation
from ..quality.preview import ArrayPreview, LatentPreview, Preview
from ..quality.reconstruction import Reconstruction
from ..quality.restoration import Restoration, restoration
from ..run.directory import DataSummary
from ..streams import EVAL_NOISE, EVAL_TIME, NOISE, TIME
from .loss import draw, dropout_seeds, hide_labels, losses
from .recipe import ema_decay, make_optimizer, stratified, update_ema
from .replicas import Replicas, make_replicas
from .step_metrics import StepMetrics

Batch = tuple[NDArray[Any], NDArray[np.int64]]


class Trainer:
    """The variables of a run and the functions that change them."""

    def __init__(
        self, config: TrainConfig, data: DataSummary, replicas: Replicas | None = None
    ) -> None:
        self.config = config
        self.replicas = replicas or make_replicas("none")
        with self.replicas.strategy.scope():
            shape, rate = config.network, config.dropout
            self.network = build_network(shape, dtype=config.precision, dropout=rate)
            self.average = build_network(shape)
            self.average.set_weights(self.network.get_weights())
            self.optimizer = make_optimizer(config)
            self.optimizer.build(self.network.trainable_variables)
        self.step = tf.Variable(tf.constant(0, tf.int64), trainable=False, name="step")
        schedule = make_schedule(config.schedule, config.max_signal_rate, config.min_signal_rate)
        pixels = data.pixel_mean, data.pixel_std
        self.denoiser = Denoiser(
            *(self.average, schedule, config.prediction, *pixels),
            clip=config.array_shape is None,
            arrays=config.array_shape is not None,
            num_classes=config.num_classes,
            guidance_range=config.guidance_range,
        )
        self.metrics = StepMetrics(skips_overflow=config.precision == "mixed_float16")
        compiled = config.jit_compile
        # TensorFlow's own convolutions are faster than XLA's on a CPU.
        if compiled is None:
            compiled = bool(tf.config.list_physical_devices("GPU"))
        # No Python statement here depends on a tensor, and autograph takes seconds to read them.
        settings = {"jit_compile": compiled, "autograph": False}
        self._gradient = tf.function(self._gradient_of, **settings)
        self._update = tf.function(self._update_with, **settings)
        self.evaluate = tf.function(self._evaluate, reduce_retracing=True, autograph=False)

    def begin_with(self, weights: list[np.ndarray]) -> None:
        """Give network and average these weights, in the order of their variables."""
        self.network.set_weights(weights)
        self.average.set_weights(weights)

    def compared(
        self, images: Images, held_out: Batch
    ) -> Restoration | Imitation | Reconstruction | None:
        """What to measure and draw with previews beside samples: what a task makes of pictures."""
        return restoration(self.config, self.denoiser, images, held_out)

    def preview(self) -> Preview | ArrayPreview | LatentPreview:
        """What draws the previews, if there is nothing to compare."""
        if self.config.array_shape is not None:
            return ArrayPreview(self.denoiser, self.config.array_shape)
        return Preview(self.denoiser, self.config.image_size)

    def batches(self, images: Images, *, first_step: int, shard: tuple[int, int]) -> Iterator[Any]:
        """The images and labels that `train` takes, one batch for each step."""
        return batches(images, self.config, first_step=first_step, shard=shard)

    @tf.function(autograph=False)
    def train(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Do one step on this worker's part of the batch; `metrics` measure all of the batch.

        Images are uint8 [B / workers, S, S, C], or arrays float32 [B / workers, …], and labels
        int64 [B / workers].
        """
        values, times, norm = self.replicas.run(self._train_replica, images, labels)
        if not self.replicas.is_default:
            self._move_average()
        # A step that fails changes nothing: all else that is assigned follows from the gradient.
        with tf.control_dependencies([norm]):
            self.step.assign_add(1)
        self.metrics.update(self.step, values, times, norm)

    def _train_replica(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Losses and times float32 [B] of the whole batch, and the norm of its gradient."""
        replicas = self.replicas
        images, labels = (replicas.rows(each, replicas.workers) for each in (images, labels))
        values, times, gradients = self._gradient(images, labels, self.step)
        gradients = replicas.total(gradients)
        norm = tf.linalg.global_norm(gradients) / self.loss_scale
        with tf.control_dependencies([norm]):
            if replicas.is_default:
                self._update(gradients)
            else:
                # Variables on several devices can be changed neither by XLA nor in a nested
                # function.
                self.optimizer.apply(gradients, self.network.trainable_variables)
        return replicas.gathered(values), replicas.gathered(times), norm

    @property
    def loss_scale(self) -> tf.Tensor:
        """The factor of the loss that prevents underflow, float32 []; 1 except in mixed_float16."""
        # Keras scales this constant, so the scale itself need not be known.
        return tf.convert_to_tensor(self.optimizer.scale_loss(tf.constant(1.0)))

    def _gradient_of(self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor):
        """Losses and times of this replica's images, and their part of the batch's gradient."""
        inputs = self._inputs(images, labels, step)
        if self.config.accumulation_steps == 1:
            return self._gradient_of_part(*inputs)
        return self._accumulated(*inputs)

    def _inputs(self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> list[tf.Tensor]:
        """What the losses of this replica's images follow from, each with a row for each image."""
        config, rows = self.config, self.replicas.rows
        shape = self._shape(tf.constant(config.batch_size))
        epsilon, uniform = draw(shape, step, seed=config.seed, noise=NOISE, time=TIME)
        if config.time_sampling == "stratified":
            uniform = stratified(uniform)
        draws = [rows(each) for each in (epsilon, uniform, *training_draws(config, step))]
        if config.dropout:
            draws.append(rows(dropout_seeds(step, config)))
        if config.num_classes is not None:
            labels = hide_labels(labels, step, config, rows)
        return [images, labels, *draws]

    def _losses(self, *inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss of each image of `_inputs`, and its time, both float32 [n]."""
        *given, seeds = inputs if self.config.dropout else (*inputs, None)
        rows: Any = given
        return losses(self.denoiser, self.config, self.network, *rows, seeds=seeds)

    def _gradient_of_part(self, *inputs: tf.Tensor) -> Any:
        """Losses, times and gradient of some of this replica's images."""
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            values, times = self._losses(*inputs)
            parts = self.replicas.count * self.config.accumulation_steps
            scaled = self.optimizer.scale_loss(tf.reduce_mean(values) / parts)
        # The gradient of a table is sparse, which no other part of a step accepts.
        return values, times, list(map(tf.convert_to_tensor, tape.gradient(scaled, variables)))

    def _accumulated(self, *inputs: tf.Tensor) -> Any:
        """The same, one part of the images after another, to save memory."""
        parts = self.config.accumulation_steps
        split = [tf.stack(tf.split(each, parts)) for each in inputs]

        def add(part: tf.Tensor, values: Any, times: Any, totals: list[tf.Tensor]) -> Any:
            *measured, gradients = self._gradient_of_part(*(each[part] for each in split))
            values, times = (
                array.write(part, each)
                for array, each in zip((values, times), measured, strict=True)
            )
            return part + 1, values, times, list(map(tf.add, totals, gradients))

        arrays = [tf.TensorArray(tf.float32, size=parts) for _ in range(2)]
        zeros = [tf.zeros(variable.shape) for variable in self.network.trainable_variables]
        _, values, times, gradients = tf.while_loop(
            lambda part, *_: part < parts, add, (0, *arrays, zeros), parallel_iterations=1
        )
        return values.concat(), times.concat(), gradients

    def _update_with(self, gradients: list[tf.Tensor]) -> None:
        self.optimizer.apply(gradients, self.network.trainable_variables)
        self._move_average()

    def _move_average(self) -> None:
        size, half_life = self.config.batch_size, self.config.ema_half_life_images
        decay = ema_decay((self.step + 1) * size, batch_size=size, half_life_images=half_life)
        update_ema(self.average.trainable_variables, self.network.trainable_variables, decay)

    def _evaluate(self, images: tf.Tensor, labels: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        """The averaged network's loss on batch `number`, float32 [].

        Noise, times and masks are the same in every run, so that runs compare; times cover their
        range.
        """
        shape = self._shape(tf.shape(images)[0])
        epsilon, uniform = draw(shape, number, seed=0, noise=EVAL_NOISE, time=EVAL_TIME)
        draws = epsilon, stratified(uniform), *held_out_draws(self.config, shape[0], number)
        values, _ = losses(self.denoiser, self.config, self.average, images, labels, *draws)
        return tf.reduce_mean(values)

    def _shape(self, count: tf.Tensor) -> tf.Tensor:
        """The shape of `count` samples, int32 [4] for images."""
        size, channels = self.config.image_size, len(self.denoiser.pixel_mean)
        return tf.stack([count, *(self.config.array_shape or (size, size, channels))])
