"""Learns the numbers of one table by gradients through its steps; the network stays as it is.

The memory does not grow with the steps: only the images between them are kept, and each step is
computed again for its gradient.
"""

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ...trainer.maths.diffusion import Denoiser
from ...trainer.maths.guidance import Conditioning
from ...trainer.maths.schedules import DiscreteSchedule
from ...trainer.maths.solvers import Estimate, Stage, with_signal
from ...trainer.maths.tables import Place, Table, table_step
from .parameters import Parameters, Smooth

LEARNING_RATE = 0.03
# Examples at once: fewer take less memory, and more time.
_TOGETHER = 10

# Noisy images x_k, and x̂_{k−1} and x̂_{k−2}, each float32 [M, H, W, C].
State = tuple[Any, ...]


class Examples(NamedTuple):
    """Noise float32 [M, H, W, C], with labels int64 [M] and guidance float32 [M] if any.

    `pictures` are what to draw of it, pixels in [0, 1], and `weights` float32 [M] how much the
    squared error of each counts.
    """

    noise: np.ndarray
    pictures: np.ndarray
    weights: np.ndarray
    labels: np.ndarray | None = None
    guidance: np.ndarray | None = None

    def some(self, rows: np.ndarray) -> "Examples":
        """Those of these rows."""
        parts: Any = (None if values is None else values[rows] for values in self)
        return Examples(*parts)


class Learner:
    """Improves a table, beginning with one, by Adam at a rate that falls as a cosine.

    With `fixed_times` the times stay, for a network that takes whole numbers, which have no
    gradient. `variables` are what is learned, by `optimizer`.
    """

    def __init__(
        self, denoiser: Denoiser, start: Table, iterations: int, *, fixed_times: bool = False
    ) -> None:
        schedule = denoiser.schedule
        self._parameters = Parameters(schedule, start, fixed_times=fixed_times)
        self._steps, self.variables = len(start.times), self._parameters.variables
        if isinstance(schedule, DiscreteSchedule):
            denoiser = replace(denoiser, schedule=Smooth(schedule.name, schedule.alpha_bar))
        self._denoiser = denoiser
        rate: Any = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, iterations, alpha=0.01)
        self.optimizer: Any = keras.optimizers.Adam(rate)
        self.optimizer.build(self.variables)
        self._forward: Any = tf.function(self._step, autograph=False)
        self._backward: Any = tf.function(self._step_vjp, autograph=False)

    def improve(self, examples: Examples) -> float:
        """Take a step of Adam; return the weighted mean squared error in levels of 255."""
        count = len(examples.noise)
        parts = [
            np.arange(count)[start : start + _TOGETHER] for start in range(0, count, _TOGETHER)
        ]
        errors, gradients = zip(
            *(self.gradients(examples.some(part)) for part in parts), strict=True
        )
        shares = [len(part) / count for part in parts]
        means = [sum(map(operator.mul, shares, each)) for each in zip(*gradients, strict=True)]
        self.optimizer.apply(means)
        return sum(map(operator.mul, shares, errors))

    def gradients(self, examples: Examples) -> tuple[float, list[Any]]:
        """The error, and its gradients with respect to `variables`, of examples all at once."""
        noise, pictures, weights, *given = examples
        nothing = shown = tf.zeros_like(noise)
        tape: Any
        with tf.GradientTape() as tape:
            rows = self._parameters.rows()
        states: list[State] = [(tf.constant(noise), nothing, nothing)]
        for k in range(self._steps):
            *state, shown = self._forward(rows, tf.constant(k), states[k], given)
            states.append(tuple(state))
        error, gradient = self._error(shown, pictures, weights)
        total, upstream = tf.zeros_like(rows), (nothing, nothing, nothing, gradient)
        for k in reversed(range(self._steps)):
            of_rows, *of_state = self._backward(rows, tf.constant(k), states[k], given, upstream)
            total, upstream = total + of_rows, (*of_state, nothing)
        return float(error), tape.gradient(rows, self.variables, output_gradients=total)

    def table(self) -> Table:
        """The table as it is now."""
        return self._parameters.table()

    def state(self) -> list[np.ndarray]:
        """Everything to go on from."""
        return [np.asarray(variable) for variable in self._all_variables]

    def restore(self, state: Sequence[np.ndarray]) -> None:
        """Go on from a `state`."""
        for variable, value in zip(self._all_variables, state, strict=True):
            variable.assign(value)

    @property
    def _all_variables(self) -> list[Any]:
        return [*self.variables, *self.optimizer.variables]

    def _step(self, rows: Any, k: Any, state: State, given: Sequence[Any]) -> State:
        """Step k of the table: x_{k+1}, x̂_k, x̂_{k−1}, and the image to show."""
        (x, previous, earlier), (labels, guidance) = state, given
        around = tf.stack([tf.maximum(k - 1, 0), k, tf.minimum(k + 1, self._steps - 1)])
        numbers: Any = tf.gather(rows, around, axis=1)
        times, (_, *others) = tf.unstack(numbers[0]), tf.unstack(numbers[:, 1])
        place = Place(tuple(times), *others)
        denoiser = self._denoiser
        asked = None if labels is None else Conditioning(labels, place.guidance(guidance))
        rates = map(denoiser.schedule.rates, times)
        if denoiser.schedule.ends_in_noise:
            rates = map(with_signal, rates)
        at = Stage(*rates, first=tf.equal(k, 0), last=tf.equal(k + 1, self._steps))
        time, told = (tf.fill(tf.shape(x)[:1], each) for each in (times[1], place.network_time))
        estimate = Estimate(x, *denoiser(x, time, asked, told))
        following, shown = table_step(at, estimate, place, previous, earlier)
        return following, estimate.image, previous, shown

    def _step_vjp(
        self, rows: Any, k: Any, state: State, given: Sequence[Any], upstream: State
    ) -> State:
        """Vector–Jacobian products of step k: by its rows, and by its state."""
        tape: Any
        with tf.GradientTape() as tape:
            tape.watch((rows, *state))
            results = self._step(rows, k, state, given)
        zero = tf.UnconnectedGradients.ZERO
        return tuple(tape.gradient(results, (rows, *state), upstream, zero))

    def _error(self, shown: Any, pictures: np.ndarray, weights: np.ndarray) -> tuple[Any, Any]:
        """The weighted mean squared error in levels of 255, and its gradient by what is shown."""
        tape: Any
        with tf.GradientTape() as tape:
            tape.watch(shown)
            drawn = shown if self._denoiser.arrays else self._denoiser.pixels(shown)
            apart = tf.square(255.0 * (drawn - pictures))
            error = tf.reduce_mean(apart, axis=list(range(1, apart.shape.rank)))
            error = tf.reduce_mean(weights * error)
        return error, tape.gradient(error, shown)
