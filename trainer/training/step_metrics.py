"""The measures of a step: running means on the device, read when a row is written."""

import math
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ..run.metrics import TIME_COLUMNS, TIME_PARTS

# The time of a loss that has none: in no part of [0, 1].
NO_TIME = -1.0


class Breakdown(NamedTuple):
    """The first step, counted from 1, that was not finite, and the time t of an image in it.

    The image is one whose loss was not finite, or else the one with the largest loss. The time is
    NO_TIME in training without times.
    """

    step: int
    time: float


class StepMetrics:
    """Means over the steps since they were last read.

    `skips_overflow` says that a gradient that is not finite changes no weight.
    """

    # What `take` returns beside the columns that all runs have.
    columns: tuple[str, ...] = ()

    def __init__(self, *, skips_overflow: bool = False) -> None:
        self._skips_overflow = skips_overflow
        self._loss, self._norm = keras.metrics.Mean(), keras.metrics.Mean()
        # The sum and the number of the losses in each part of t in [0, 1].
        self._by_time = tf.Variable(tf.zeros([2, TIME_PARTS]), trainable=False)
        self._broken_step = tf.Variable(tf.constant(-1, tf.int64), trainable=False)
        self._broken_time = tf.Variable(tf.constant(0.0), trainable=False)

    def update(
        self, step: tf.Tensor, losses: tf.Tensor, times: tf.Tensor, gradient_norm: tf.Tensor
    ) -> None:
        """Add a step, counted from 1: losses and times float32 [B], the gradient's norm []."""
        self._loss.update_state(losses)
        part = tf.minimum(tf.cast(times * TIME_PARTS, tf.int32), TIME_PARTS - 1)
        in_part = tf.one_hot(part, TIME_PARTS)
        sums = tf.linalg.matvec(in_part, losses, transpose_a=True)
        self._by_time.assign_add(tf.stack([sums, tf.reduce_sum(in_part, axis=0)]))
        finite = tf.math.is_finite(gradient_norm)
        self._norm.update_state(tf.where(finite, gradient_norm, 0.0), tf.cast(finite, tf.float32))
        sound = tf.reduce_all(tf.math.is_finite(losses)) & (finite | self._skips_overflow)
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
        sums, counts = self._by_time.numpy()
        by_time = np.where(counts > 0, sums / np.maximum(counts, 1), math.nan).tolist()
        means = (self._loss, self._norm)
        loss, norm = (np.asarray(mean.result()).item() for mean in means)
        self._by_time.assign(tf.zeros_like(self._by_time))
        for mean in means:
            mean.reset_state()
        by_column = zip(TIME_COLUMNS, by_time, strict=True)
        return {"loss": loss, "gradient_norm": norm, **dict(by_column)}


class PartMetrics(StepMetrics):
    """The same for a loss of two parts without times: absolute errors + `weight`·KL divergence."""

    columns = ("absolute_error", "kl_divergence")

    def __init__(self, weight: float, *, skips_overflow: bool = False) -> None:
        super().__init__(skips_overflow=skips_overflow)
        self._weight, self._kl = weight, keras.metrics.Mean()

    def update(
        self, step: tf.Tensor, losses: tf.Tensor, times: tf.Tensor, gradient_norm: tf.Tensor
    ) -> None:
        """Add a step as StepMetrics does; `times` are the KL divergences float32 [B]."""
        super().update(step, losses, tf.fill(tf.shape(losses), NO_TIME), gradient_norm)
        self._kl.update_state(times)

    def take(self) -> dict[str, float]:
        """The means by their columns, then start again."""
        means, kl = super().take(), np.asarray(self._kl.result()).item()
        self._kl.reset_state()
        values = means["loss"] - self._weight * kl, kl
        return {**means, **dict(zip(self.columns, values, strict=True))}
