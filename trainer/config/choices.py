"""What settings may be: names to choose from, limits, and checks, which raise InputError."""

import math
import re
from collections.abc import Sequence
from dataclasses import MISSING, field, fields
from typing import Any

from ..errors import InputError, check_choice

SCHEDULES = ("cosine", "ddpm_linear", "ddpm_cosine")
# Those of networks that were trained elsewhere, too.
ALL_SCHEDULES = (*SCHEDULES, "flow", "edm")
TASKS = ("generation", "super_resolution", "inpainting", "autoencoder")
PREDICTIONS = ("noise", "velocity", "image")
ALL_PREDICTIONS = (*PREDICTIONS, "edm")
CONDITIONINGS = (
    *("time", "timestep", "noise_variance", "noise_rate", "log_snr"),
    *("sigma", "c_noise"),
)
SOLVERS = ("ddim", "dpmpp_2m")
TIME_GRIDS = ("linear", "linspace", "quadratic", "karras")
LOSS_WEIGHTINGS = ("uniform", "velocity", "min_snr")
TIME_SAMPLINGS = ("uniform", "stratified")
LEARNING_RATE_DECAYS = ("constant", "inverse_sqrt", "cosine")
DISTRIBUTIONS = ("none", "mirrored", "multi_worker")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
# How pictures of another shape fit the images: by their middle, with bars, or squeezed.
FITS = ("crop", "pad", "stretch")
AUGMENTATIONS = ("flip", "none", "crop", "crop+flip")
# The smallest side of a crop, as a share of the picture's.
LEAST_CROP = 0.75
CACHES = ("memory", "disk", "none")
MOST_CLASSES, MOST_NAME_CHARACTERS = 10_000, 100
# A bundle's images are at most this wide and high.
MAX_SIDE = 2048
SYNTHETIC_IMAGES = 2048
MIN_SIGNAL_RATE = 0.001
MIN_SIGMA, MAX_SIGMA = 1e-4, 1e4
FEWEST_TABLE_STEPS, MOST_TABLE_STEPS = 2, 20
# The greatest guidance of a student.
MOST_GUIDANCE = 100.0
# Samples that are no pictures: their axes, and the numbers in one of them.
MOST_AXES, MOST_NUMBERS = 3, 2**24


def require(condition: bool, message: str) -> None:
    """Raise InputError with this message unless the condition holds."""
    if not condition:
        raise InputError(message)


def setting(default: Any = MISSING, **metadata: Any) -> Any:
    """A dataclass field that `check_settings` checks: its `choices` or `bounds`, both inclusive.

    `changeable` settings may differ when a run goes on: they do not change what a step computes.
    """
    return field(default=default, metadata=metadata)


def check_settings(config: Any) -> None:
    """Check the choices and bounds of all fields; None passes where it is the default."""
    for each in fields(config):
        if each.default is None and getattr(config, each.name) is None:
            continue
        value = getattr(config, each.name)
        if "choices" in each.metadata:
            check_choice(each.name, value, each.metadata["choices"])
        if "bounds" in each.metadata:
            check_integer(each.name, value, *each.metadata["bounds"])


def check_integer(name: str, value: int, least: int, most: int) -> None:
    """Check that a value is a whole number from `least` to `most`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    expected = f"expected a whole number from {least} to {most}"
    require(whole and least <= value <= most, f"{name}={value}: {expected}")


def check_levels(levels: Sequence[float] | None) -> None:
    """Check that the levels of black and white, if there are any, are two numbers that rise."""
    holds = levels is None or (len(levels) == 2 and -math.inf < levels[0] < levels[1] < math.inf)
    expected = "expected the level of black and a higher one of white, such as 0,4095"
    require(holds, f"levels={','.join(f'{level:g}' for level in levels or ())}: {expected}")


def check_array_shape(shape: Sequence[int]) -> None:
    """Check that one sample has 1 to 3 axes, none of them empty, and at most 2^24 numbers."""
    whole = all(isinstance(size, int) and size > 0 for size in shape)
    fits = 1 <= len(shape) <= MOST_AXES and whole and math.prod(shape) <= MOST_NUMBERS
    expected = f"expected 1 to {MOST_AXES} axes without an empty one, of at most {MOST_NUMBERS:,}"
    require(fits, f"array_shape={list(shape)}: {expected} numbers in all; reshape the samples")


def label_pattern(labels: str) -> re.Pattern[str] | None:
    """The pattern of `name:REGEX`, None for a file; InputError unless it has one group."""
    if not labels.startswith("name:"):
        return None
    expected = "expected one group, which is the class, as in name:^([a-z]+)_"
    try:
        pattern = re.compile(labels.removeprefix("name:"))
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"labels={labels}: no regular expression ({error}); {expected}") from error
    require(pattern.groups == 1, f"labels={labels}: has {pattern.groups} groups; {expected}")
    return pattern


def is_class_name(name: str) -> bool:
    """Whether a bundle can hold a class of this name: one line of text, with something on it."""
    return 0 < len(name.strip()) <= len(name) <= MOST_NAME_CHARACTERS and name.isprintable()


def check_signal_rates(max_signal_rate: float, min_signal_rate: float) -> None:
    """Check that float32 can tell the ends of the cosine schedule from 0 and from each other."""
    received = f"min_signal_rate={min_signal_rate}, max_signal_rate={max_signal_rate}"
    expected = f"expected {MIN_SIGNAL_RATE} <= min_signal_rate < max_signal_rate <= 1"
    holds = MIN_SIGNAL_RATE <= min_signal_rate < max_signal_rate <= 1
    require(holds, f"{received}: {expected}")


def check_sigmas(sigma_min: float, sigma_max: float, sigma_data: float) -> None:
    """Check that float32 can tell the ends of the EDM schedule from 0 and from each other."""
    received = f"sigma_min={sigma_min}, sigma_max={sigma_max}, sigma_data={sigma_data}"
    expected = f"expected {MIN_SIGMA} <= sigma_min < sigma_max <= {MAX_SIGMA:g}"
    holds = MIN_SIGMA <= sigma_min < sigma_max <= MAX_SIGMA
    require(holds, f"{received}: {expected}")
    holds = MIN_SIGMA <= sigma_data <= MAX_SIGMA
    require(holds, f"{received}: expected {MIN_SIGMA} <= sigma_data <= {MAX_SIGMA:g}")
