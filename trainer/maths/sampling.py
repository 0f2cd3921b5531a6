"""A denoiser, a solver and a time grid: one step of sampling, for previews and both exports."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from ..config import TIME_GRIDS
from ..errors import InputError, check_choice
from .diffusion import Denoiser, noise_between, to_uint8
from .guidance import Conditioning
from .schedules import Rates
from .solvers import Estimate, Solver, Stage, State, solver_named


@dataclass(frozen=True)
class Sampling:
    """How a denoiser is sampled: `solver` of `SOLVERS`, η in [0, 1], `time_grid` of `TIME_GRIDS`.

    Raises InputError for unknown names, and for an η above 0 that the solver cannot use.
    """

    denoiser: Denoiser
    solver: str = "ddim"
    eta: float = 0.0
    time_grid: str = "linear"

    def __post_init__(self) -> None:
        check_choice("time_grid", self.time_grid, TIME_GRIDS)
        if not self._solver.stochastic and self.eta:
            raise InputError(f"eta={self.eta:g}: {self.solver} draws no noise; expected 0")

    @property
    def carried(self) -> tuple[str, ...]:
        """Names of the tensors that a step passes to the next: `noisy` and the solver's own."""
        return ("noisy", *self._solver.carried)

    def start(self, noise: tf.Tensor) -> State:
        """The state before the first step, from noise float32 [N, H, W, C]."""
        return {"noisy": noise} | {name: tf.zeros_like(noise) for name in self._solver.carried}

    def step(
        self,
        step: tf.Tensor,
        steps: tf.Tensor,
        state: State,
        *,
        conditioning: Conditioning | None = None,
        fresh_noise: tf.Tensor | None = None,
        hold: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tuple[State, tf.Tensor]:
        """Step k of `steps`, int64 []: the next state, and x̂_0 in normalised units.

        A denoiser with classes needs `conditioning`, and an `eta` above 0 needs `fresh_noise`
        [N, H, W, C]. `hold` replaces the known part of x̂_0, and ε̂ follows from the result.
        """
        noisy = state["noisy"]
        time = self.denoiser.schedule.grid_time(step, steps, self.time_grid)
        image, noise = self.denoiser(noisy, tf.fill(tf.shape(noisy)[:1], time), conditioning)
        around = [self.rates(index, steps) for index in (tf.maximum(step - 1, 0), step, step + 1)]
        at = Stage(*around, first=tf.equal(step, 0), last=tf.equal(step + 1, steps))
        if hold:
            image = hold(image)
            noise = noise_between(noisy, image, at.current)
        own = {name: state[name] for name in self._solver.carried}
        settings = {"eta": self.eta, "fresh_noise": fresh_noise} if self.eta else {}
        noisy, own = self._solver.update(at, Estimate(noisy, image, noise), own, **settings)
        return {"noisy": noisy, **own}, image

    def sample(
        self, noise: tf.Tensor, steps: int, *, conditioning: Conditioning | None = None
    ) -> tf.Tensor:
        """Images uint8 [N, H, W, C] from noise float32 of this shape, for an η of 0."""
        total = tf.constant(steps, tf.int64)

        def body(step: tf.Tensor, state: State, _: tf.Tensor):
            return step + 1, *self.step(step, total, state, conditioning=conditioning)

        start = (tf.constant(0, tf.int64), self.start(noise), tf.zeros_like(noise))
        *_, image = tf.while_loop(lambda step, *_: step < total, body, start)
        return to_uint8(self.denoiser.pixels(image))

    @property
    def _solver(self) -> Solver:
        return solver_named(self.solver)

    def rates(self, step: tf.Tensor, steps: tf.Tensor) -> Rates:
        """Rates at t_k; k = 0 … steps and `steps` are int64 []."""
        schedule = self.denoiser.schedule
        return schedule.rates(schedule.grid_time(step, steps, self.time_grid))
