"""A denoiser, a solver and a time grid: one step of sampling, for previews and both exports."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from ..config import TIME_GRIDS
from ..errors import InputError, check_choice
from .diffusion import Denoiser, add_noise, noise_between, to_uint8
from .guidance import Conditioning
from .schedules import Rates
from .solvers import Estimate, Solver, Stage, State, solver_named, with_signal
from .tables import Place, Tables, table_step

_OF_TABLES = ("previous_image", "earlier_image")
# A solver in ln(signal/noise) with a grid that evaluates at t = 0.
_INFINITE = ("dpmpp_2m", "linspace")


class Start(NamedTuple):
    """Where to begin: the number of a step, int64 [], and the image there, in normalised units.

    The step begins with this image noised, as SDEdit does (arXiv 2108.01073, algorithm 1).
    """

    step: tf.Tensor
    image: tf.Tensor


@dataclass(frozen=True)
class Sampling:
    """How a denoiser is sampled: `solver` of `SOLVERS`, η in [0, 1], `time_grid` of `TIME_GRIDS`.

    `tables` take the place of solver and grid for the steps and the guidance that they know.
    Raises InputError for unknown names, for an η above 0 that the solver or a table cannot use, and
    for one other than 1 with a learned variance.
    """

    denoiser: Denoiser
    solver: str = "ddim"
    eta: float = 0.0
    time_grid: str = "linear"
    tables: Tables | None = None

    def __post_init__(self) -> None:
        check_choice("time_grid", self.time_grid, TIME_GRIDS)
        if not self._solver.stochastic and self.eta:
            raise InputError(f"eta={self.eta:g}: {self.solver} draws no noise; expected 0")
        if self.denoiser.learned_variance and self.eta != 1:
            raise InputError(
                "variance=learned: is the variance of DDPM's steps; "
                f"expected eta=1, not {self.eta:g}"
            )
        if self.denoiser.schedule.ends_in_noise and self.time_grid == "karras":
            raise InputError(
                "time_grid=karras: noise/signal is infinite at t = 1, where the schedule leaves no "
                "signal; expected another grid"
            )
        if self.denoiser.schedule.ends_clean and (self.solver, self.time_grid) == _INFINITE:
            raise InputError(
                "time_grid=linspace: the schedule leaves no noise at t = 0, to which the step of "
                "dpmpp_2m is infinite; expected another grid, or solver=ddim"
            )
        if self.tables is not None:
            self._check_tables(self.tables)

    def _check_tables(self, tables: Tables) -> None:
        if self._solver.second_order is None:
            raise InputError(
                f"solver={self.solver}: cannot be combined with tables; leave them out"
            )
        if self.eta:
            raise InputError(f"eta={self.eta:g}: tables draw no noise; expected 0")
        if (tables.guidance is None) != (self.denoiser.num_classes is None):
            expected = "a range for a model with classes, and none for one without"
            raise InputError(f"tables: guidance={tables.guidance}: expected {expected}")

    @property
    def carried(self) -> tuple[str, ...]:
        """Names of the tensors that a step passes to the next: `noisy`, then earlier images."""
        return ("noisy", *(self._solver.carried if self.tables is None else _OF_TABLES))

    def start(self, noise: tf.Tensor) -> State:
        """The state before the first step, from noise float32 [N, H, W, C]."""
        return {"noisy": noise} | {name: tf.zeros_like(noise) for name in self.carried[1:]}

    def step(
        self,
        step: tf.Tensor,
        steps: tf.Tensor,
        state: State,
        *,
        conditioning: Conditioning | None = None,
        fresh_noise: tf.Tensor | None = None,
        hold: Callable[[tf.Tensor], tf.Tensor] | None = None,
        start: Start | None = None,
    ) -> tuple[State, tf.Tensor]:
        """Step k of `steps`, int64 []: the next state, and x̂_0 in normalised units.

        A denoiser with classes needs `conditioning`, and an `eta` above 0 needs `fresh_noise`
        [N, H, W, C]. `hold` replaces the known part of x̂_0, and ε̂ follows from the result. With a
        `start`, the state there is the noise, and no earlier step is remembered.
        """
        if self.tables is not None:
            return self._step_by_table(self.tables, step, steps, state, conditioning, hold, start)
        at = self._stage(step, steps, self._times(step, steps), start)
        noisy = _begun(state["noisy"], step, at.current, start)
        time = tf.fill(tf.shape(noisy)[:1], self._grid_time(step, steps))
        image, noise, fraction = self.denoiser.with_variance(noisy, time, conditioning)
        if hold:
            image = hold(image)
            noise = noise_between(noisy, image, at.current)
        own = {name: state[name] for name in self._solver.carried}
        settings = {}
        if self.eta:
            settings = {"eta": self.eta, "fresh_noise": fresh_noise, "variance_fraction": fraction}
            settings["variance_preserving"] = not self.denoiser.schedule.straight
        noisy, own = self._solver.update(at, Estimate(noisy, image, noise), own, **settings)
        return {"noisy": noisy, **own}, image

    def _step_by_table(
        self,
        tables: Tables,
        step: tf.Tensor,
        steps: tf.Tensor,
        state: State,
        conditioning: Conditioning | None,
        hold: Callable[[tf.Tensor], tf.Tensor] | None,
        start: Start | None,
    ) -> tuple[State, tf.Tensor]:
        """What `step` does, with the solver as a table of its own where there is none."""
        noisy, previous, earlier = (state[name] for name in self.carried)
        asked = None if conditioning is None else conditioning.guidance
        applies, learned = tables.place(step, steps, asked)
        plain = self._plain_place(step, steps)
        place = tf.nest.map_structure(partial(tf.where, applies), learned, plain)
        place = place if start is None else _from_start(place, step - start.step, steps - step)
        at = self._stage(step, steps, place.times)
        noisy = _begun(noisy, step, at.current, start)
        if conditioning is not None and asked is not None:
            guidance = tf.where(applies, learned.guidance(asked), asked)
            conditioning = replace(conditioning, guidance=guidance)
        images = tf.shape(noisy)[:1]
        time, told = (tf.fill(images, each) for each in (place.times[1], place.network_time))
        image, noise = self.denoiser(noisy, time, conditioning, told)
        image = hold(image) if hold else image
        estimate = Estimate(noisy, image, noise)
        following, shown = table_step(at, estimate, place, previous, earlier)
        return dict(zip(self.carried, (following, image, previous), strict=True)), shown

    def _plain_place(self, step: tf.Tensor, steps: tf.Tensor) -> Place:
        """The solver's step on its grid as numbers of a table."""
        times, inner = self._times(step, steps), (step > self._plain_steps) & (step + 1 < steps)
        second = tf.cast(inner, tf.float32) * (self._solver.second_order or 0.0)
        return Place(times, times[1], second, tf.constant(0.0), tf.constant(1.0))

    def sample(
        self, noise: tf.Tensor, steps: int, *, conditioning: Conditioning | None = None
    ) -> tf.Tensor:
        """Images uint8 [N, H, W, C] from noise float32 of this shape, for an η of 0."""
        image = self.images(noise, tf.constant(steps, tf.int64), conditioning=conditioning)
        return to_uint8(self.denoiser.pixels(image))

    def images(
        self,
        noise: tf.Tensor,
        steps: tf.Tensor,
        *,
        conditioning: Conditioning | None = None,
        most_steps: int | None = None,
    ) -> tf.Tensor:
        """The same in normalised units, with gradients; `steps` are int64 [].

        XLA's gradients need `most_steps`, a bound of the steps.
        """

        def body(step: tf.Tensor, state: State, _: tf.Tensor):
            return step + 1, *self.step(step, steps, state, conditioning=conditioning)

        start = (tf.constant(0, tf.int64), self.start(noise), tf.zeros_like(noise))
        *_, image = tf.while_loop(
            lambda step, *_: step < steps, body, start, maximum_iterations=most_steps
        )
        return image

    @property
    def _solver(self) -> Solver:
        return solver_named(self.solver)

    def rates(self, step: tf.Tensor, steps: tf.Tensor) -> Rates:
        """Rates at t_k; k = 0 … steps and `steps` are int64 []."""
        return self.denoiser.schedule.rates(self._grid_time(step, steps))

    def _grid_time(self, step: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        return self.denoiser.schedule.grid_time(step, steps, self.time_grid)

    def _times(self, step: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The grid's times before, at and after a step."""
        around = (tf.maximum(step - 1, 0), step, step + 1)
        return tuple(self._grid_time(index, steps) for index in around)

    def _stage(
        self,
        step: tf.Tensor,
        steps: tf.Tensor,
        times: tuple[tf.Tensor, ...],
        start: Start | None = None,
    ) -> Stage:
        rates, first = map(self.denoiser.schedule.rates, times), tf.equal(step, 0)
        if self.denoiser.schedule.ends_in_noise:
            rates, first = map(with_signal, rates), step <= self._plain_steps
        if start is not None:
            first = first | (step <= start.step)
        return Stage(*rates, first=first, last=tf.equal(step + 1, steps))

    @property
    def _plain_steps(self) -> int:
        """The last of the steps before which there is no finite step in ln(signal/noise)."""
        return 1 if self.denoiser.schedule.ends_in_noise else 0


def _begun(noisy: tf.Tensor, step: tf.Tensor, rates: Rates, start: Start | None) -> tf.Tensor:
    """x_k, which at the start is made from the image there and the noise."""
    if start is None:
        return noisy
    return tf.where(tf.equal(step, start.step), add_noise(start.image, noisy, rates), noisy)


def _from_start(place: Place, taken: tf.Tensor, left: tf.Tensor) -> Place:
    """The numbers of a step after so many, without those that an earlier image is missing for."""
    second = tf.where(taken > 0, place.second_order, 0.0)
    # The last step's number is for x̂_{k−1} alone.
    third = tf.where((taken > 1) | ((taken > 0) & tf.equal(left, 1)), place.third_order, 0.0)
    return place._replace(second_order=second, third_order=third)
