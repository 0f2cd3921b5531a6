"""Schedules against their closed forms."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from diffkiln.trainer.config import SCHEDULES as SCHEDULE_NAMES
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.schedules import (
    CosineSchedule,
    Schedule,
    ddpm_cosine,
    ddpm_linear,
    make_schedule,
)

SCHEDULES = (CosineSchedule(), ddpm_linear(), ddpm_cosine())


def rates(schedule: Schedule, time: float) -> tuple[float, float]:
    signal, noise = schedule.rates(tf.constant(time, tf.float32))
    return float(signal), float(noise)


def test_cosine_starts_and_ends_at_its_rates() -> None:
    assert rates(CosineSchedule(0.9, 0.1), 0)[0] == pytest.approx(0.9, abs=1e-6)
    assert rates(CosineSchedule(0.9, 0.1), 1)[0] == pytest.approx(0.1, abs=1e-6)


def test_cosine_is_halfway_in_angle_at_half_time() -> None:
    middle = (math.acos(0.95) + math.acos(0.02)) / 2
    assert rates(CosineSchedule(), 0.5) == pytest.approx(
        (math.cos(middle), math.sin(middle)), abs=1e-6
    )


@given(st.floats(0, 1, width=32), st.sampled_from(SCHEDULES))
def test_squares_of_the_rates_sum_to_one(time: float, schedule: Schedule) -> None:
    signal, noise = rates(schedule, time)
    # Two float32 squares and their sum: a few units in the last place.
    assert signal**2 + noise**2 == pytest.approx(1, abs=5e-7)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_signal_falls_with_time(schedule: Schedule) -> None:
    signal, _ = schedule.rates(tf.linspace(0.0, 1.0, 501))
    assert np.all(np.diff(signal) < 0)


def test_ddpm_linear_has_the_papers_first_and_last_values() -> None:
    alpha_bar = ddpm_linear().alpha_bar
    beta = np.linspace(1e-4, 0.02, 1000)
    assert alpha_bar[0] == 1
    assert alpha_bar[1] == 1 - 1e-4
    assert alpha_bar[1000] == pytest.approx(np.exp(np.log1p(-beta).sum()), rel=1e-12)


def test_ddpm_cosine_is_the_papers_curve_while_beta_is_not_capped() -> None:
    def curve(n: int) -> float:
        return math.cos((n / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    assert ddpm_cosine().alpha_bar[500] == pytest.approx(curve(500) / curve(0), rel=1e-12)


def test_discrete_rates_are_those_of_the_integer() -> None:
    schedule = ddpm_linear()
    signal, noise = rates(schedule, 250 / 1000)
    assert signal == pytest.approx(math.sqrt(schedule.alpha_bar[250]), abs=1e-7)
    assert noise == pytest.approx(math.sqrt(1 - schedule.alpha_bar[250]), abs=1e-7)


def test_discrete_time_zero_is_the_clean_image() -> None:
    assert rates(ddpm_cosine(), 0) == (1, 0)


def test_discrete_training_draws_every_integer_but_zero() -> None:
    uniform = (tf.range(1000, dtype=tf.float32) + 0.5) / 1000
    drawn = ddpm_linear().training_time(uniform).numpy() * 1000
    assert np.rint(drawn).tolist() == list(range(1, 1001))


def test_wrong_rates_are_refused() -> None:
    with pytest.raises(InputError, match=r"max_signal_rate=0.5: expected 0.001 <="):
        CosineSchedule(0.5, 0.9)


def test_rates_that_float32_cannot_hold_are_refused() -> None:
    with pytest.raises(InputError, match="min_signal_rate=1e-08"):
        CosineSchedule(0.95, 1e-8)


@pytest.mark.parametrize("name", SCHEDULE_NAMES)
def test_make_schedule_knows_every_name(name: str) -> None:
    assert make_schedule(name).describe()["name"] == name


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"^schedule=sine: expected one of cosine, ddpm_linear"):
        make_schedule("sine")
