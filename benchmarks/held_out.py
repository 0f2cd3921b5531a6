"""The error of a denoiser on held-out pictures, by one measure for all runs."""

from dataclasses import replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from diffkiln.trainer.maths.diffusion import Denoiser, add_noise, training_target
from diffkiln.trainer.quality.preview import conditioning_for
from diffkiln.trainer.training.recipe import stratified

TIMES = 4
TOGETHER = 256


def velocity_error(
    denoiser: Denoiser, images: NDArray[np.uint8], labels: NDArray[np.int64] | None = None
) -> float:
    """Return the mean squared error of v, whatever the network predicts, under a fixed noise.

    Each of the images [N, S, S, C] is evaluated at four times; the times of all images are spread
    evenly. A network that knows classes needs `labels` [N].
    """
    unclipped = replace(denoiser, clip=False)
    count = TIMES * len(images)
    noises = tf.random.stateless_normal((count, *images.shape[1:]), (7, 7))
    times = stratified(tf.fill([count], 0.5 / count))
    total = 0.0
    for start in range(0, count, TOGETHER):
        rows = np.arange(start, min(start + TOGETHER, count))
        image = denoiser.normalise(tf.cast(images[rows // TIMES], tf.float32) / 255)
        noise, time = tf.gather(noises, rows), tf.gather(times, rows)
        rates = denoiser.schedule.rates(time[:, None, None, None])
        conditioning = None
        if labels is not None:
            conditioning = conditioning_for(
                denoiser, tf.constant(labels[rows // TIMES]), guidance=1.0
            )
        predicted = unclipped(add_noise(image, noise, rates), time, conditioning)
        velocity, target = (
            training_target("velocity", *pair, rates) for pair in (predicted, (image, noise))
        )
        total += float(tf.reduce_sum(tf.reduce_mean(tf.square(velocity - target), axis=[1, 2, 3])))
    return total / count
