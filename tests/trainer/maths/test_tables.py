"""Learned tables: what they are without learning, where they apply, and what is refused."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_tables import random_table, random_tables

from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.guidance import Conditioning
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import CosineSchedule, ddpm_linear
from diffkiln.trainer.maths.tables import Table, Tables

SHAPE = (3, 4, 4, 1)


def normal(seed: int) -> tf.Tensor:
    return tf.random.stateless_normal(SHAPE, (seed, 0))


def curved(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """A network that depends on the noisy image, its condition and its label."""
    noisy, time, *labels = inputs
    shift = tf.cast(labels[0], tf.float32)[:, None, None, None] if labels else 0.0
    return tf.sin(0.5 * noisy + 3 * time[:, None, None, None] + shift)


def sampling(network: Any = curved, **settings: Any) -> Sampling:
    schedule, classes = settings.pop("schedule", CosineSchedule()), settings.pop("classes", None)
    pixels = (0.5,), (0.25,)
    denoiser = Denoiser(network, schedule, "image", *pixels, clip=False, num_classes=classes)
    return Sampling(denoiser, **settings)


def drawn(sampler: Sampling, noise: tf.Tensor, steps: int, guidance: float | None = None):
    """The images shown after each step."""
    conditioning, total = None, tf.constant(steps, tf.int64)
    if guidance is not None:
        conditioning = Conditioning(tf.constant([0, 1, 2], tf.int64), tf.constant(guidance))
    state, images = sampler.start(noise), []
    for k in range(steps):
        step = tf.constant(k, tf.int64)
        state, image = sampler.step(step, total, state, conditioning=conditioning)
        images.append(image)
    return np.stack(images)


def plain_numbers(steps: int, total: int | None = None) -> Table:
    times = np.linspace(1, 0, steps)
    if total is not None:
        times = (1 + np.round(times * (total - 1))) / total
    row, ones = tuple(times.tolist()), (1.0,) * steps
    return Table(row, row, (0.0, *ones[1:]), (0.0,) * steps, ones)


@pytest.mark.parametrize("steps", [2, 3, 6])
@pytest.mark.parametrize(("schedule", "total"), [(CosineSchedule(), None), (ddpm_linear(), 1000)])
def test_plain_numbers_are_dpmpp_2m_on_linspace(
    schedule: Any, total: int | None, steps: int
) -> None:
    settings: Any = {"solver": "dpmpp_2m", "time_grid": "linspace", "schedule": schedule}
    with_table = sampling(**settings, tables=Tables({steps: plain_numbers(steps, total)}))
    expected = drawn(sampling(**settings), normal(0), steps)
    np.testing.assert_allclose(drawn(with_table, normal(0), steps), expected, atol=1e-5)


@pytest.mark.parametrize("steps", [2, 5])
def test_a_network_that_knows_the_image_leads_to_it(steps: int) -> None:
    """Any coefficients of differences: where x̂_0 is constant, they change nothing."""
    image, noise = normal(1), normal(2)
    sampler = sampling(lambda _: image, tables=random_tables(steps))
    np.testing.assert_allclose(drawn(sampler, noise, steps)[-1], image, atol=1e-5)


def test_each_number_changes_the_picture() -> None:
    table, changed = random_table(5), set()
    first = drawn(sampling(tables=Tables({5: table})), normal(0), 5)[-1]
    for name, row in vars(table).items():
        for k in range(5):
            numbers = (*row[:k], row[k] * 0.98 or 0.02, *row[k + 1 :])
            try:
                other = Tables({5: replace(table, **{name: numbers})})
            except InputError:
                continue
            picture = drawn(sampling(tables=other), normal(0), 5)[-1]
            changed |= {(name, k)} if np.any(picture != first) else set()
    # Neither the first time nor a coefficient without its images may change; the last step has no
    # slope, and there is no guidance.
    expected = {("times", k) for k in range(1, 5)} | {("network_times", k) for k in range(5)}
    expected |= {("second_order", k) for k in (1, 2, 3)} | {("third_order", k) for k in (2, 3, 4)}
    assert changed == expected


@pytest.mark.parametrize("solver", ["ddim", "dpmpp_2m"])
@pytest.mark.parametrize(
    ("steps", "guidance"), [(4, 2.0), (5, 0.0), (5, 0.999), (5, 4.001), (5, 10.0), (1, 1.0)]
)
def test_other_steps_and_guidance_are_drawn_as_without_a_table(
    solver: str, steps: int, guidance: float
) -> None:
    settings: Any = {"solver": solver, "classes": 3}
    tables = random_tables(3, 5, guidance=(1.0, 4.0))
    expected = drawn(sampling(**settings), normal(0), steps, guidance)
    learned = drawn(sampling(**settings, tables=tables), normal(0), steps, guidance)
    # DDIM's sum is taken in another order.
    np.testing.assert_allclose(learned, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("guidance", "rows"), [(1.0, [3] * 5), (2.5, [3, 6, 6, 6, 6])])
def test_guidance_one_and_a_factor_of_nothing_take_one_evaluation(
    guidance: float, rows: list[int]
) -> None:
    seen: list[int] = []

    def network(inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        seen.append(len(inputs[0]))
        return curved(inputs)

    tables = random_tables(5, guidance=(1.0, 4.0))
    drawn(sampling(network, classes=3, tables=tables), normal(0), 5, guidance)
    assert seen == rows


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"times": (1.0, 0.5, 0.5)}, "times=.*expected numbers that fall from 1"),
        ({"times": (0.9, 0.5, 0.1)}, "times=.*expected numbers that fall from 1"),
        ({"times": (1.0, 0.5, -0.1)}, "times=.*expected 3 numbers from 0 to 1"),
        ({"times": (1.0,)}, "times=.*expected 2 to 20 numbers"),
        ({"network_times": (1.0, 0.5)}, "network_times=.*expected 3 numbers from 0 to 1"),
        ({"guidance_factors": (0.0, 1.0, math.nan)}, "guidance_factors=.*from -100 to 100"),
        (
            {"second_order": (1.0, 1.0, 0.0)},
            "second_order=.*expected 0 where an earlier image is missing",
        ),
        (
            {"third_order": (0.0, 1.0, 0.0)},
            "third_order=.*expected 0 where an earlier image is missing",
        ),
    ],
)
def test_numbers_that_make_no_sampler_are_refused(change: dict, words: str) -> None:
    with pytest.raises(InputError, match=f"^tables: {words}"):
        replace(random_table(3), **change)


def test_tables_say_what_they_are_for() -> None:
    with pytest.raises(InputError, match=r"^tables: times=3: expected 4 numbers"):
        Tables({4: random_table(3)})
    with pytest.raises(InputError, match=r"^tables: guidance=\(4.0, 1.0\): expected two numbers"):
        random_tables(3, guidance=(4.0, 1.0))
    with pytest.raises(InputError, match=r"^tables: lack or spoil an entry \(KeyError: 'times'\)"):
        Tables.from_json({"by_steps": {"3": {}}})
    for tables in (random_tables(2, 7), random_tables(3, guidance=(1.0, 2.5))):
        assert Tables.from_json(tables.to_json()) == tables


def test_fresh_noise_has_no_place_in_a_table() -> None:
    with pytest.raises(InputError, match=r"^eta=0.5: tables draw no noise; expected 0"):
        sampling(eta=0.5, tables=random_tables(3))
