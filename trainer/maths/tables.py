"""Tables: samplers of a few steps whose numbers were learned for one network.

A table of N steps has times 1 = t_0 > t_1 > … > t_{N−1} ≥ 0 and the coefficients of a linear
multistep method in x̂_0. With signal and noise rates s_k and n_k at t_k, λ_k = ln(s_k/n_k),
h_k = λ_{k+1} − λ_k, and x̂_k the network's image at x_k,

    D_k = x̂_k + a_k·h_k/(2·h_{k−1})·(x̂_k − x̂_{k−1}) + b_k·(x̂_k − 2·x̂_{k−1} + x̂_{k−2}),
    x_{k+1} = n_{k+1}/n_k·x_k + (s_{k+1} − s_k·n_{k+1}/n_k)·D_k,
    picture = x̂_{N−1} + b_{N−1}·(x̂_{N−1} − x̂_{N−2}).

The network is told the time u_k in place of t_k. Under guidance g, step k has the guidance 1 +
c_k·(g − 1). With a = c = 1, b = 0 and u = t this is DPM-Solver++(2M) (arXiv 2211.01095, algorithm
2) at the times t. Where no signal is left at t = 1, 2M has a_1 = 0, and λ_0 is ln(1e-30/n_0).
Others have learned the coefficients (BNS, arXiv 2403.01329; S4S, arXiv 2502.17423) and the times
(LD3, arXiv 2405.15506).
"""

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ..config import FEWEST_TABLE_STEPS, MOST_TABLE_STEPS
from ..errors import InputError
from .solvers import Estimate, Stage, log_snr_step

_LARGEST = 100.0

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Table:
    """The numbers of one count of steps N, each N of them.

    `times` are t, `network_times` u, `second_order` a, `third_order` b, and `guidance_factors` c.
    What would need an image before the first is 0: a_0, b_0 and, unless it is the last, b_1.

    Raises InputError for numbers that make no sampler.
    """

    times: Numbers
    network_times: Numbers
    second_order: Numbers
    third_order: Numbers
    guidance_factors: Numbers

    def __post_init__(self) -> None:
        steps = len(self.times)
        fewest, most = FEWEST_TABLE_STEPS, MOST_TABLE_STEPS
        if not fewest <= steps <= most:
            raise _misfit("times", self.times, f"{fewest} to {most} numbers")
        for name in NAMES:
            least, most = (0.0, 1.0) if name.endswith("times") else (-_LARGEST, _LARGEST)
            numbers = getattr(self, name)
            fits = all(math.isfinite(x) and least <= x <= most for x in numbers)
            if len(numbers) != steps or not fits:
                raise _misfit(name, numbers, f"{steps} numbers from {least:g} to {most:g}")
        if self.times[0] != 1 or any(s >= t for t, s in itertools.pairwise(self.times)):
            raise _misfit("times", self.times, "numbers that fall from 1")
        for name, missing in (("second_order", 1), ("third_order", min(2, steps - 1))):
            numbers = getattr(self, name)
            if any(numbers[:missing]):
                raise _misfit(name, numbers, "0 where an earlier image is missing")


NAMES = tuple(Table.__dataclass_fields__)


class Place(NamedTuple):
    """The numbers of a step, float32 that broadcast against images, [] in a sampler.

    `times` are t_{k−1} (t_0 at first), t_k and t_{k+1} (t_{N−1} at last).
    """

    times: tuple[tf.Tensor, ...]
    network_time: tf.Tensor
    second_order: tf.Tensor
    third_order: tf.Tensor
    guidance_factor: tf.Tensor

    def guidance(self, asked: tf.Tensor) -> tf.Tensor:
        """1 + c_k·(g − 1): exactly 1 for a guidance g of 1, and for a factor of 0."""
        return 1.0 + self.guidance_factor * (asked - 1.0)


@dataclass(frozen=True)
class Tables:
    """The tables of one network by their counts of steps.

    They are for guidance between the ends of `guidance`, both included; a network without classes
    has None. Raises InputError for a count that is not its table's.
    """

    by_steps: Mapping[int, Table]
    guidance: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for steps, table in self.by_steps.items():
            if steps != len(table.times):
                raise _misfit("times", len(table.times), f"{steps} numbers")
        if self.guidance is not None and not 0 <= self.guidance[0] <= self.guidance[1]:
            raise _misfit("guidance", self.guidance, "two numbers, the lower one first")

    def place(
        self, step: tf.Tensor, steps: tf.Tensor, guidance: tf.Tensor | None
    ) -> tuple[tf.Tensor, Place]:
        """Whether there is a table, bool [], and what it says of step k of `steps`, int64 [].

        `guidance` is float32 [] or [N], all of which must be in range. Where there is no table, the
        numbers are finite and mean nothing.
        """
        counts = tf.constant(self.counts, tf.int64)
        index = tf.reduce_sum(tf.cast(steps > counts[:-1], tf.int64))
        applies = tf.equal(tf.gather(counts, index), steps)
        if guidance is not None and self.guidance is not None:
            low, high = self.guidance
            ends = guidance >= low, guidance <= high
            above, below = map(tf.reduce_all, ends) if guidance.shape.rank else ends
            applies = applies & above & below
        packed = self._packed
        # Within the table whatever the step, since steps without a table come here too.
        around = tf.clip_by_value(step + tf.constant([-1, 0, 1], tf.int64), 0, packed.shape[1] - 1)
        numbers = tf.gather(tf.gather(tf.constant(packed), index), around)
        times, (_, u, a, b, c) = tf.unstack(numbers[:, 0]), tf.unstack(numbers[1])
        return applies, Place(tuple(times), u, a, b, c)

    def to_json(self) -> dict[str, Any]:
        """The numbers as JSON values, as a bundle's manifest holds them."""
        by_steps = {str(steps): asdict(self.by_steps[steps]) for steps in self.counts}
        guidance = {} if self.guidance is None else {"guidance": self.guidance}
        return json.loads(json.dumps({**guidance, "by_steps": by_steps}))

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Tables":
        """The tables that `to_json` gave; InputError for numbers that make no sampler."""

        def table(numbers: Mapping[str, Any]) -> Table:
            return Table(**{name: tuple(map(float, numbers[name])) for name in NAMES})

        try:
            by_steps = {int(steps): table(numbers) for steps, numbers in values["by_steps"].items()}
            if not by_steps or [*map(str, by_steps)] != [*values["by_steps"]]:
                raise _misfit("by_steps", [*values["by_steps"]], "counts of steps")
            low, high = values.get("guidance", (None, None))
            return Tables(by_steps, None if low is None else (float(low), float(high)))
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise InputError(f"tables: lack or spoil an entry ({reason})") from error

    @property
    def counts(self) -> list[int]:
        """The counts of steps that there are tables for, increasing."""
        return sorted(self.by_steps)

    @property
    def _packed(self) -> np.ndarray:
        """All numbers float32 [counts, most steps, names]; a step after the last is the last."""
        packed = np.zeros((len(self.counts), self.counts[-1], len(NAMES)), np.float32)
        for index, steps in enumerate(self.counts):
            numbers = np.transpose([getattr(self.by_steps[steps], name) for name in NAMES])
            packed[index] = numbers[np.minimum(np.arange(self.counts[-1]), steps - 1)]
        return packed


def table_step(
    at: Stage,
    estimate: Estimate,
    place: Place,
    previous_image: tf.Tensor,
    earlier_image: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """x_{k+1}, and the image to show after step k, which at last is the picture.

    `previous_image` and `earlier_image` are x̂_{k−1} and x̂_{k−2}, or anything finite where there
    are none.
    """
    t, s = at.current, at.following
    slope = tf.math.divide_no_nan(log_snr_step(t, s), 2.0 * log_snr_step(at.previous, t))
    change = estimate.image - previous_image
    bend = place.third_order * (change - (previous_image - earlier_image))
    image = estimate.image + place.second_order * slope * change + bend
    shrink = s.noise / t.noise
    shown = estimate.image + tf.where(at.last, place.third_order, 0.0) * change
    return shrink * estimate.noisy + (s.signal - t.signal * shrink) * image, shown


def _misfit(name: str, received: object, expected: str) -> InputError:
    return InputError(f"tables: {name}={received}: expected {expected}")
