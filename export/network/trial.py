"""Calls a network as a sampler would, to find what no graph shows: pictures that would be wrong."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf

from ...trainer.errors import InputError
from ...trainer.maths.diffusion import Denoiser
from ...trainer.maths.guidance import Conditioning
from ...trainer.maths.sampling import Sampling
from .causes import cause
from .conditions import FittedCondition

_LOG = logging.getLogger("diffkiln.export")

# How far outputs are apart, relative to their size, that differ in the order of sums alone.
_SAME = 1e-4
_IMAGES = 3
_STEPS = 20
# Classes whose rows are compared with that of no class: at both ends, and between.
_MOST_CLASSES = 32
_MOST_ROWS = 100_000

Denoise = Callable[..., np.ndarray]


def try_out(
    sampling: Sampling,
    shape: tuple[int, ...],
    conditions: Sequence[FittedCondition] = (),
) -> None:
    """Call a network on some noise of `shape`, such as (H, W, C), at the times of its sampler too.

    It must be traced for any number of images, as it is in the graphs. Raises InputError for
    conditions, classes or guidance that it cannot take, for a prediction that is not finite, for
    images that depend on the others of their batch, and for a network that cannot tell no class
    (−1) from a class.
    """
    noise = np.random.default_rng(0).normal(size=(_IMAGES, *shape)).astype(np.float32)
    # Clipping could hide what differs.
    denoiser = replace(sampling.denoiser, clip=False)
    denoise = _denoise(denoiser, conditions)
    _require_timesteps(denoiser, denoise, noise)
    _require_finite(sampling, denoise, noise)
    _require_alone_as_together(denoise, noise)
    for condition in conditions:
        _require_condition(denoise, noise, condition)
    if denoiser.guidance_range is not None:
        _require_guidance(denoise, noise, *denoiser.guidance_range)
    if denoiser.num_classes is not None:
        _require_no_class(denoise, noise[:1], denoiser.num_classes)


def _denoise(denoiser: Denoiser, conditions: Sequence[FittedCondition]) -> Denoise:
    """(noise, time, labels) → x̂_0 as NumPy arrays, with v of a learned variance beside it.

    Without labels the first class is meant. A network that takes the guidance is told 1, or the
    `guidance` that is given. Image i has example i of each condition, or the one
    that `rows` says; those that are `changed`, by name, are the same for all images.
    """
    examples = {each.name: each.examples(_IMAGES) for each in conditions}

    def call(
        noise: np.ndarray,
        time: float,
        labels: np.ndarray | None = None,
        rows: slice = slice(None),
        guidance: float = 1.0,
        **changed: np.ndarray,
    ) -> np.ndarray:
        labels = np.zeros(len(noise), np.int64) if labels is None else labels
        repeated = {name: np.repeat(x[np.newaxis], _IMAGES, 0) for name, x in changed.items()}
        given = [tf.constant(x[rows][: len(noise)]) for x in {**examples, **repeated}.values()]
        known = None if denoiser.num_classes is None else tf.constant(labels)
        told = None if denoiser.guidance_range is None else tf.constant(guidance)
        conditioning = Conditioning(known, told, given, [None] * len(given))
        # A GPU would take rows from beyond the end of a table for zeros.
        with tf.device("/cpu:0"):
            times = tf.fill([len(noise)], time)
            image, _, fraction = denoiser.with_variance(tf.constant(noise), times, conditioning)
        parts = [image] if fraction is None else [image, fraction]
        return np.concatenate(parts, axis=-1)

    return call


def _require_timesteps(denoiser: Denoiser, denoise: Denoise, noise: np.ndarray) -> None:
    last = denoiser.schedule.max_steps
    for step in (1, last):
        try:
            denoise(noise, step / last)
        except Exception as error:  # of the network's layers, whatever it is
            whole = denoiser.conditioning == "timestep"
            told = f"timestep {step - 1 + denoiser.first_timestep}"
            received = f"the {told}" if whole else f"the condition of time {step / last:g}"
            remedy = "if it was trained with the timesteps 0 … T - 1, give first_timestep=0"
            hint = f"; {remedy}" if whole and step == last and denoiser.first_timestep else ""
            raise InputError(f"network: cannot take {received} ({cause(error)}){hint}") from error


def _require_finite(sampling: Sampling, denoise: Denoise, noise: np.ndarray) -> None:
    steps = min(_STEPS, sampling.denoiser.schedule.max_steps)
    for step in (0, steps - 1):
        place = tf.constant(step, tf.int64), tf.constant(steps, tf.int64)
        time = float(sampling.denoiser.schedule.grid_time(*place, sampling.time_grid))
        if not np.isfinite(denoise(noise, time)).all():
            remedy = "look for a logarithm or a quotient of it"
            if step:
                remedy += ", or choose time_grid=linear, which does not ask for the cleanest image"
            raise InputError(
                f"network: its prediction at time {time:g} is not finite, and so would be every "
                f"picture; {remedy}"
            )


def _require_alone_as_together(denoise: Denoise, noise: np.ndarray) -> None:
    together = denoise(noise, 0.5)
    places = [slice(place, place + 1) for place in range(len(noise))]
    alone = np.concatenate([denoise(noise[place], 0.5, rows=place) for place in places])
    if (apart := _apart(alone, together)) > _SAME:
        raise InputError(
            f"network: its prediction for an image changes by {apart:.1%} with the other images "
            "of the batch, and so would a picture; look for a layer that takes a mean over the "
            "batch"
        )


def _require_guidance(denoise: Denoise, noise: np.ndarray, least: float, most: float) -> None:
    """Raise InputError unless predictions at both ends of a range of guidance are finite."""
    ends = [denoise(noise, 0.5, guidance=guidance) for guidance in (least, most)]
    for guidance, prediction in zip((least, most), ends, strict=True):
        if not np.isfinite(prediction).all():
            raise InputError(
                f"guidance_range={least:g},{most:g}: the network's prediction is not finite at "
                f"guidance {guidance:g}; give the range that it was trained for"
            )
    if _apart(*ends) == 0:
        _LOG.warning("network: guidance changes nothing in its prediction")


def _require_condition(denoise: Denoise, noise: np.ndarray, condition: FittedCondition) -> None:
    """Raise InputError unless the network takes the ends of a condition's range, and its null."""
    name, ends = condition.name, condition.range or ()
    values = [np.full(condition.shape, end, condition.dtype) for end in ends]
    values += [] if condition.null is None else [condition.null]
    for value in values:
        try:
            denoise(noise, 0.5, **{name: value})
        except Exception as error:  # of the network's layers, whatever it is
            raise InputError(
                f"conditions: {name}: the network cannot take {value.ravel()[0]} ({cause(error)}); "
                "give a null, a minimum and a maximum that it can take"
            ) from error
    same = condition.examples(_IMAGES)[0]
    if _apart(denoise(noise, 0.5), denoise(noise, 0.5, **{name: same})) == 0:
        _LOG.warning("network: %s changes nothing in its prediction", name)


def _require_no_class(denoise: Denoise, noise: np.ndarray, classes: int) -> None:
    some = np.unique(np.linspace(0, classes - 1, min(classes, _MOST_CLASSES)).astype(np.int64))
    try:
        by_class = [denoise(noise, 0.5, np.array([label])) for label in some]
        without = denoise(noise, 0.5, np.array([-1]))
    except Exception as error:
        raise InputError(
            f"class_names: got {classes} names, for which the network has too few classes "
            f"({cause(error)}); expected one name for each, and a row of its table for none "
            "(-1)"
        ) from error
    if _apart(np.stack(by_class), np.stack([without] * len(some))) == 0:
        _LOG.warning("network: labels change nothing in its prediction")
        return
    last = _last_label(denoise, noise, classes)
    # Row `classes` is a usual place for none; one further back is somebody's class.
    known = [*zip(some, by_class, strict=True)]
    known += [(last, denoise(noise, 0.5, np.array([last])))] if last > classes else []
    for label, image in known:
        if _apart(image, without) == 0:
            raise InputError(
                f"network: treats the label -1 (no class) as class {label}, so guidance would lead "
                f"away from that class; give its table one more row, for no class: {classes + 1} "
                "rows, indexed by label + 1"
            )


def _last_label(denoise: Denoise, noise: np.ndarray, classes: int) -> int:
    """The greatest label that a table of classes takes; `classes` - 1 if it takes any."""

    def takes(label: int) -> bool:
        try:
            denoise(noise, 0.5, np.array([label]))
        except Exception:  # of the table, which ends before
            return False
        return True

    low, high = classes - 1, classes
    while takes(high):
        if high > _MOST_ROWS:
            return classes - 1
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if takes(middle) else (low, middle)
    return low


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, relative to the size of the values."""
    size = max(float(np.abs(other).max()), 1e-12)
    return float(np.abs(one - other).max()) / size
