"""A denoiser, a solver and a time grid: one step of sampling, for previews and both exports."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import tensorflow as tf

from ..config import TIME_GRIDS
from ..errors import InputError, check_choice
from .diffusion import Denoiser, noise_between, to_uint8
from .guidance import Conditioning
from .schedules import Rates
from .solvers import Estimate, Solver, Stage, State, solver_named
from .tables import Place, Tables, table_step

_OF_TABLES = ("previous_image", "earlier_image")


@dataclass(frozen=True)
class Sampling:
    """How a denoiser is sampled: `solver` of `SOLVERS`, η in [0, 1], `time_grid` of `TIME_GRIDS`.

    `tables` take the place of solver and grid for the steps and the guidance that they know.
    Raises InputError for unknown names, and for an η above 0 that the solver or a table cannot use.
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
        if self.tables is not None and self.eta:
            raise InputError(f"eta={self.eta:g}: tables draw no noise; expected 0")

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
    ) -> tuple[State, tf.Tensor]:
        """Step k of `steps`, int64 []: the next state, and x̂_0 in normalised units.

        A denoiser with classes needs `conditioning`, and an `eta` above 0 needs `fresh_noise`
        [N, H, W, C]. `hold` replaces the known part of x̂_0, and ε̂ follows from the result.
        """
        noisy, around = state["noisy"], (tf.maximum(step - 1, 0), step, step + 1)
        times = [self._grid_time(index, steps) for index in around]
        place, told = None, {}
        if self.tables is not None:
            guidance = None if conditioning is None else conditioning.guidance
            place = self.tables.place(step, steps, guidance)
            told["network_time"] = _each(noisy, place.instead(place.network_time, times[1]))
            times = [place.instead(*pair) for pair in zip(place.times, times, strict=True)]
            conditioning = _guided_by(place, conditioning)
        image, noise = self.denoiser(noisy, _each(noisy, times[1]), conditioning, **told)
        rates = map(self.denoiser.schedule.rates, times)
        at = Stage(*rates, first=tf.equal(step, 0), last=tf.equal(step + 1, steps))
        if hold:
            image = hold(image)
            noise = noise_between(noisy, image, at.current)
        estimate = Estimate(noisy, image, noise)
        own = {name: state[name] for name in self._solver.carried}
        settings = {"eta": self.eta, "fresh_noise": fresh_noise} if self.eta else {}
        following, own = self._solver.update(at, estimate, own, **settings)
        if place is None:
            return {"noisy": following, **own}, image
        previous, earlier = (state[name] for name in _OF_TABLES)
        by_table, shown = table_step(at, estimate, place, previous, earlier)
        following = place.instead(by_table, following)
        carried = dict(zip(self.carried, (following, image, previous), strict=True))
        return carried, place.instead(shown, image)

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
        return self.denoiser.schedule.rates(self._grid_time(step, steps))

    def _grid_time(self, step: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        return self.denoiser.schedule.grid_time(step, steps, self.time_grid)


def _each(images: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """The number for each of the images, [N]."""
    return tf.fill(tf.shape(images)[:1], number)


def _guided_by(place: Place, conditioning: Conditioning | None) -> Conditioning | None:
    """The conditioning with the guidance of this step."""
    if conditioning is None:
        return None
    asked = conditioning.guidance
    return replace(conditioning, guidance=place.instead(place.guidance(asked), asked))
