"""The loss of a batch (arXiv 2006.11239, equation 14), and the random numbers that it needs."""

from collections.abc import Callable

import keras
import tensorflow as tf

from ..conditions.tasks import conditions
from ..config import TrainConfig
from ..maths.diffusion import Denoiser, add_noise, training_target
from ..streams import LABEL, named_seed, stream_seed
from .recipe import loss_weight


def draw(
    shape: tf.Tensor, step: tf.Tensor, *, seed: int, noise: int, time: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Noise float32 of `shape` [N, …] and numbers in [0, 1), float32 [N].

    They follow from the seed, the step, and the streams `noise` and `time`.
    """
    epsilon = tf.random.stateless_normal(shape, stream_seed(seed, noise, step))
    return epsilon, tf.random.stateless_uniform(shape[:1], stream_seed(seed, time, step))


def hide_labels(
    labels: tf.Tensor, step: tf.Tensor, config: TrainConfig, rows: Callable[..., tf.Tensor]
) -> tf.Tensor:
    """Labels int64 [n] of a replica's `rows`, −1 for a share of `config.label_dropout`.

    The network learns to do without a class as well (arXiv 2207.12598).
    """
    seed = stream_seed(config.seed, LABEL, step)
    uniform = tf.random.stateless_uniform([config.batch_size], seed)
    return tf.where(rows(uniform >= config.label_dropout), labels, -tf.ones_like(labels))


def dropout_seeds(step: tf.Tensor, config: TrainConfig) -> tf.Tensor:
    """The seeds of a step's `Dropout` layers, int64 [B, 2]: a key, and each image's place."""
    seed = named_seed(config.seed, "dropout", step)
    key = tf.random.stateless_uniform([], seed, 0, tf.int64.max, tf.int64)
    places = tf.range(config.batch_size, dtype=tf.int64)
    return tf.stack([tf.fill([config.batch_size], key), places], axis=1)


def losses(
    denoiser: Denoiser,
    config: TrainConfig,
    network: keras.Model,
    images: tf.Tensor,
    labels: tf.Tensor,
    epsilon: tf.Tensor,
    uniform: tf.Tensor,
    *of_task: tf.Tensor,
    seeds: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The weighted mean squared error of each prediction, and its time, both float32 [N].

    Images are uint8 [N, S, S, C], or arrays float32 [N, …]; labels are int64 [N], epsilon and
    uniform float32, as `draw` makes. The conditions of a task follow from the images and the task's
    own random numbers. A network with dropout needs `dropout_seeds`.
    """
    numbers = tf.cast(images, tf.float32)
    image = denoiser.normalise(numbers if denoiser.arrays else numbers / 255)
    times, axes = denoiser.schedule.training_time(uniform), list(range(1, image.shape.rank))
    rates = denoiser.schedule.rates(tf.reshape(times, [-1, *(1 for _ in axes)]))
    noisy = add_noise(image, epsilon, rates)
    target = training_target(config.prediction, image, epsilon, rates)
    inputs = [noisy, times] if config.num_classes is None else [noisy, times, labels]
    inputs += conditions(config, denoiser, images, of_task)
    inputs += [] if seeds is None else [seeds]
    error = tf.reduce_mean(tf.square(network(inputs, training=True) - target), axes)
    weight = loss_weight(config.loss_weighting, config.prediction, rates)
    return error * tf.reshape(weight, [-1]), times
