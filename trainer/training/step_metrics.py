"""The measures of a step: running means on the device, read when a row is written."""

import math
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ..run.metrics import TIME_COLUMNS, TIME_PARTS


class Breakdown(NamedTuple):
    """The first step, counted from 1, that was not finite, and the time t of an image in it.

    The image is one whose loss was not finite, or else the one with the largest loss.
    """

    step: int
    time: float


class StepMetrics:
    """Means over the steps since they were last read."""

    def __init__(self) -> None:
        self._loss, self._norm = keras.metrics.Mean(), keras.metrics.Mean()
        self._by_time = MeanByTime(TIME_PARTS)
        self._broken_step = tf.Variable(tf.constant(-1, tf.int64), trainable=False)
        self._broken_time = tf.Variable(tf.constant(0.0), trainable=False)

    def update(
        self,
        step: tf.Tensor,
        losses: tf.Tensor,
        times: tf.Tensor,
        gradient_norm: tf.Tensor,
        *,
        skips_overflow: bool = False,
    ) -> None:
        """Add a step, counted from 1: losses and times float32 [B], the gradient's norm [].

        `skips_overflow` says that a gradient that is not finite changes no weight.
        """
        self._loss.update_state(losses)
        self._by_time.update_state(losses, times)
        finite = tf.math.is_finite(gradient_norm)
        norm = tf.where(finite, gradient_norm, 0.0)
        self._norm.update_state(norm, sample_weight=tf.cast(finite, tf.float32))
        sound = tf.reduce_all(tf.math.is_finite(losses)) & (finite | skips_overflow)
        first = tf.logical_not(sound) & (self._broken_step < 0)
        worst = tf.gather(times, tf.argmax(tf.where(tf.math.is_finite(losses), losses, math.inf)))
        self._broken_step.assign(tf.where(first, step, self._broken_step))
        self._broken_time.assign(tf.where(first, worst, self._broken_time))

    @property
    def breakdown(self) -> Breakdown | None:
        """The step whose loss or gradient was not finite, None if there is none."""
        step = int(self._broken_step.numpy())
        return None if step < 0 else Breakdown(step, float(self._broken_time.numpy()))

    def take(self) -> dict[str, float]:
        """The means by their columns in metrics.csv, nan where there is none; then start again."""
        metrics = (self._loss, self._norm, self._by_time)
        loss, norm, by_time = (np.asarray(metric.result()).tolist() for metric in metrics)
        for metric in metrics:
            metric.reset_state()
        by_column = zip(TIME_COLUMNS, by_time, strict=True)
        return {"loss": loss, "gradient_norm": norm, **dict(by_column)}


class MeanByTime(keras.metrics.Metric):
    """The mean of values whose times fall into each of `parts` equal parts of [0, 1]."""

    def __init__(self, parts: int) -> None:
        super().__init__(name="mean_by_time")
        self.parts = parts
        self.total = self.add_variable((parts,), "zeros", name="total")
        self.count = self.add_variable((parts,), "zeros", name="count")

    def update_state(self, values: tf.Tensor, times: tf.Tensor) -> None:
        """Add values and times, float32 [N]."""
        part = tf.cast(times * self.parts, tf.int32)
        in_part = tf.one_hot(tf.minimum(part, self.parts - 1), self.parts)
        self.total.assign(self.total + tf.linalg.matvec(in_part, values, transpose_a=True))
        self.count.assign(self.count + tf.reduce_sum(in_part, axis=0))

    def result(self) -> tf.Tensor:
        """Means, float32 [parts], nan for a part without values."""
        mean = tf.math.divide_no_nan(self.total.value, self.count.value)
        return tf.where(self.count.value > 0, mean, math.nan)
