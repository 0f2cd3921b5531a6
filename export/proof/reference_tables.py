"""Learned tables once more, from the manifest's own numbers, by the equations of docs/bundle.md."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .reference_noise import Array

if TYPE_CHECKING:
    from .reference import ReferenceSampler


class ReferenceStep(NamedTuple):
    """The numbers t, u, a, b and c of a step."""

    time: float
    network_time: float
    second_order: float
    third_order: float
    guidance_factor: float


def reference_steps(
    tables: Mapping[str, Any] | None, steps: int, guidance: float | None
) -> list[ReferenceStep]:
    """The steps of a count under a guidance; none where the tables say nothing of these."""
    if tables is None or str(steps) not in tables["by_steps"]:
        return []
    if guidance is not None and not tables["guidance"][0] <= guidance <= tables["guidance"][1]:
        return []
    table = tables["by_steps"][str(steps)]
    names = ("times", "network_times", "second_order", "third_order", "guidance_factors")
    return list(map(ReferenceStep, *(table[name] for name in names)))


def images_by_table(
    sampler: "ReferenceSampler",
    noise: Array,
    steps: list[ReferenceStep],
    hold: Callable[[Array], Array] | None = None,
    start: tuple[int, Array] | None = None,
) -> Iterator[Array]:
    """x̂_0 of each evaluation, at last the picture, of noise [N, H, W, C].

    A `start` is the first step with its normalised image.
    """
    x, images = np.asarray(noise, np.float64), []
    first = 0
    if start is not None:
        first, x = start[0], sampler.noised(start[1], x, steps[start[0]].time)
    rates = [sampler.rates(step.time) for step in steps]
    log_snr = [math.log(max(signal, 1e-30) / max(sigma, 1e-30)) for signal, sigma in rates]
    for k, step in enumerate(steps[first:], first):
        guided = sampler.under(step.guidance_factor)
        images.append(guided.denoise(x, step.time, hold, step.network_time)[0])
        second = images[-1] - images[-2] if k > first else 0.0
        if k == len(steps) - 1:
            yield images[-1] + step.third_order * second
            return
        yield images[-1]
        direction = images[-1]
        if k > first:
            h, before = log_snr[k + 1] - log_snr[k], log_snr[k] - log_snr[k - 1]
            slope = h / (2 * before) if before > 0 else 0.0
            direction = direction + step.second_order * slope * second
        if k > first + 1:
            third = images[-1] - 2 * images[-2] + images[-3]
            direction = direction + step.third_order * third
        (a_t, n_t), (a_s, n_s) = rates[k], rates[k + 1]
        x = n_s / n_t * x + (a_s - a_t * n_s / n_t) * direction
