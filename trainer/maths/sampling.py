"""A denoiser, a solver and a time grid: one step of sampling, for previews and both exports."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from ..errors import InputError
from .diffusion import Conditioning, Denoiser, noise_between
from .solvers import SOLVERS, Estimate, Rates, Solver, Stage, State

Hold = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Sampling:
    """How a denoiser is sampled: `solver` of `SOLVERS`, η in [0, 1], `time_grid` of `TIME_GRIDS`.

    Raises InputError where the solver has no use for η.
    """

    denoiser: Denoiser
    solver: str = "ddim"
    eta: float = 0.0
    time_grid: str = "linear"

    def __post_init__(self) -> None:
        if self.eta and not self._solver.stochastic:
            raise InputError(f"eta={self.eta:g}: {self.solver} draws no noise; expected 0")

    @property
    def carried(self) -> tuple[str, ...]:
        """Names of the tensors that a step hands to the next: `noisy` and the solver's own."""
        return ("noisy", *self._solver.carried)

    def start(self, noise: tf.Tensor) -> State:
        """What is carried into the first step."""
        others = {name: tf.zeros_like(noise) for name in self._solver.carried}
        return {"noisy": noise, **others}

    def step(
        self,
        step: tf.Tensor,
        steps: tf.Tensor,
        state: State,
        *,
        conditioning: Conditioning | None = None,
        fresh_noise: tf.Tensor | None = None,
        hold: Hold | None = None,
    ) -> tuple[State, tf.Tensor]:
        """Step k of `steps`, int64 []: what is carried on, and x̂_0 in normalised units.

        A denoiser of classes needs `conditioning`, and an `eta` above 0 needs `fresh_noise`
        [N, H, W, C]. `hold` replaces what is known of
        x̂_0, and ε̂ follows from it.
        """
        noisy = state["noisy"]
        time = self.denoiser.schedule.grid_time(step, steps, self.time_grid)
        image, noise = self.denoiser(noisy, tf.fill(tf.shape(noisy)[:1], time), conditioning)
        at = self._stage(step, steps)
        if hold:
            image = hold(image)
            rates = at.current
            noise = noise_between(noisy, image, signal_rate=rates.signal, noise_rate=rates.noise)
        own = {name: state[name] for name in self._solver.carried}
        settings = {"eta": self.eta, "fresh_noise": fresh_noise} if self.eta else {}
        noisy, own = self._solver.update(at, Estimate(noisy, image, noise), own, **settings)
        return {"noisy": noisy, **own}, image

    @property
    def _solver(self) -> Solver:
        return SOLVERS[self.solver]

    def _stage(self, step: tf.Tensor, steps: tf.Tensor) -> Stage:
        previous = tf.maximum(step - 1, 0)
        around = (self.rates(index, steps) for index in (previous, step, step + 1))
        return Stage(*around, first=tf.equal(step, 0), last=tf.equal(step + 1, steps))

    def rates(self, step: tf.Tensor, steps: tf.Tensor) -> Rates:
        """Rates at t_k; k = 0 … steps and `steps` are int64 []."""
        schedule = self.denoiser.schedule
        return Rates(*schedule.rates(schedule.grid_time(step, steps, self.time_grid)))
