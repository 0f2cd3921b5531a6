"""Which schedule, prediction and condition of a network go together."""

import math

from ..config import ALL_PREDICTIONS, CONDITIONINGS
from ..errors import InputError, check_choice
from .schedules import ARRAY, DiscreteSchedule, EDMSchedule, FlowSchedule, Schedule

# From less, float32 has no digit of the image left once the noise is taken away.
_LEAST_SIGNAL_RATE = 1e-6
# Conditions that are infinite where no signal is left.
_RATIOS = ("log_snr", "sigma", "c_noise")


def check_conventions(
    schedule: Schedule, prediction: str, conditioning: str, first_timestep: int
) -> None:
    """Raise InputError for an unknown choice, and for those that exclude each other."""
    check_choice("prediction", prediction, ALL_PREDICTIONS)
    check_choice("conditioning", conditioning, CONDITIONINGS)
    _check_timesteps(schedule, conditioning, first_timestep)
    _check_edm(schedule, prediction, conditioning)
    if prediction == "noise" and (left := _signal_left(schedule)) < _LEAST_SIGNAL_RATE:
        received = f"a signal rate of {left:.0e}" if left else "no signal"
        raise InputError(
            f"prediction=noise: the schedule leaves {received} at t = 1, so that the noise does "
            "not tell the image there; expected a network that predicts velocity or image"
        )
    if schedule.ends_in_noise and conditioning in _RATIOS:
        raise InputError(
            f"conditioning={conditioning}: is infinite at t = 1, where the schedule leaves no "
            "signal; expected another conditioning"
        )


def check_learned_variance(schedule: Schedule) -> None:
    """Raise InputError for a schedule whose steps are not DDPM's.

    β depends on the scale of x_t, and a network for EDM learns with another scale than ours.
    """
    if isinstance(schedule, FlowSchedule | EDMSchedule):
        name = schedule.describe()["name"]
        raise InputError(
            "variance=learned: is the variance of DDPM's steps, which the schedule "
            f"{name} does not have; leave variance out"
        )


def _signal_left(schedule: Schedule) -> float:
    """The signal rate at t = 1, or 1 for a schedule that is known by its name to leave enough."""
    if isinstance(schedule, DiscreteSchedule) and schedule.name == ARRAY:
        return math.sqrt(schedule.alpha_bar[-1])
    return 0.0 if schedule.ends_in_noise else 1.0


def _check_timesteps(schedule: Schedule, conditioning: str, first_timestep: int) -> None:
    if conditioning == "timestep" and not isinstance(schedule, DiscreteSchedule | FlowSchedule):
        name = schedule.describe()["name"]
        raise InputError(
            f"conditioning=timestep: the {name} schedule's time is continuous; expected another "
            "conditioning, or the schedule ddpm_linear or ddpm_cosine"
        )
    if first_timestep == 0 and not isinstance(schedule, DiscreteSchedule):
        problem = "the schedule's time is continuous and begins with 0"
        raise InputError(f"first_timestep=0: {problem}; leave it out")


def _check_edm(schedule: Schedule, prediction: str, conditioning: str) -> None:
    if not isinstance(schedule, EDMSchedule):
        if prediction == "edm":
            raise InputError("prediction=edm: belongs to the schedule edm; expected schedule=edm")
    elif prediction not in ("edm", "image"):
        raise InputError(
            f"prediction={prediction}: under the schedule edm, expected edm, or image for a "
            "network that holds the preconditioning itself"
        )
    elif conditioning == "time":
        raise InputError(
            "conditioning=time: no network is told the time of the schedule edm; expected c_noise "
            "= ln(σ)/4, or sigma"
        )
