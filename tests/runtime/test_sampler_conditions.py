"""What a network is given beside seeds: conditions, in all methods of the Sampler."""

import asyncio
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from given_conditions import GIVEN, of

from diffkiln.runtime import Bundle, Sampler, open_bundle
from diffkiln.runtime.engine.conditioning import checked_labels_and_guidance, unguided
from diffkiln.runtime.engine.conditions import checked_conditions
from diffkiln.runtime.engine.engine import part


@pytest.fixture(scope="module")
def sampler(conditions_bundle: Path):
    with Sampler(conditions_bundle, device="cpu", max_batch=3) as sampler:
        yield sampler


def test_an_image_depends_on_its_own_seed_and_conditions(sampler: Sampler) -> None:
    many = sampler.sample(7, steps=2, conditions=GIVEN)
    for place in (0, 3, 6):  # of three batches
        alone = sampler.sample(1, seed=place, steps=2, conditions=of(place))
        np.testing.assert_array_equal(many[[place]], alone)
    batches = np.concatenate([*sampler.batches(7, steps=2, conditions=GIVEN)])
    np.testing.assert_array_equal(batches, many)


@pytest.mark.parametrize("name", GIVEN)
def test_every_condition_matters(sampler: Sampler, name: str) -> None:
    one, other = of(0), of(0) | {name: GIVEN[name][2]}
    images = sampler.sample(seeds=[4], steps=2, conditions=one)
    assert (images != sampler.sample(seeds=[4], steps=2, conditions=other)).any()


def test_one_condition_may_be_for_all_images(sampler: Sampler) -> None:
    rows = sampler.sample(3, steps=2, conditions=of([2, 2, 2]))
    for shared in (of(2), of([2]), of(2) | {"age": GIVEN["age"][[2, 2, 2]]}):
        np.testing.assert_array_equal(sampler.sample(3, steps=2, conditions=shared), rows)


def test_numbers_of_other_kinds_are_converted(sampler: Sampler) -> None:
    exact = {"text": [[1, 2, 3], [4, 5, 6]], "age": 5, "sketch": GIVEN["sketch"][0]}
    expected = sampler.sample(2, steps=1, conditions=exact)
    for dtype in (np.float16, np.float64, ">f4", np.int8, np.uint64):
        text = np.asfortranarray(np.array(exact["text"], dtype))
        given = exact | {"text": text, "age": np.array(5, np.uint8)}
        np.testing.assert_array_equal(sampler.sample(2, steps=1, conditions=given), expected)


def test_steps_one_by_one_are_the_same(sampler: Sampler) -> None:
    whole = sampler.sample(7, steps=3, conditions=GIVEN)
    told: list[tuple[int, int]] = []
    reported = sampler.sample(
        7, steps=3, conditions=GIVEN, progress=lambda *done: told.append(done)
    )
    *_, (_, last) = sampler.stepwise(7, steps=3, conditions=GIVEN)
    frames = sampler.trajectory(7, steps=3, conditions=GIVEN)
    assert told[-1] == (9, 9)
    for images in (reported, last, frames[-1]):
        # Another graph adds in another order: one level of 255.
        assert np.abs(whole.astype(int) - images).max() <= 1


def test_conditions_are_taken_as_they_were_when_they_were_given(sampler: Sampler) -> None:
    mine = {name: values.copy() for name, values in GIVEN.items()}
    batches = sampler.batches(7, steps=1, conditions=mine)
    for values in mine.values():
        values[:] = values[0]
    expected = sampler.sample(7, steps=1, conditions=GIVEN)
    np.testing.assert_array_equal(np.concatenate([*batches]), expected)


def test_without_blocking(sampler: Sampler) -> None:
    images = asyncio.run(sampler.sample_async(2, steps=1, conditions=of(1)))
    np.testing.assert_array_equal(images, sampler.sample(2, steps=1, conditions=of(1)))


def test_a_way_between_seeds_and_conditions(sampler: Sampler) -> None:
    way = sampler.interpolate(1, 4, 3, steps=2, conditions=of([0, 1, 2]))
    ends = sampler.sample(seeds=[1, 4], steps=2, conditions=of([0, 2]))
    np.testing.assert_array_equal(way[[0, 2]], ends)


def test_noise_and_photographs(sampler: Sampler) -> None:
    (noise,) = sampler.run("noise", {"seeds": np.arange(2)})
    images = sampler.sample(2, steps=8, conditions=of([0, 1]), guidance=1.0)
    same: dict[str, Any] = {"steps": 8, "conditions": of([0, 1]), "guidance": 1.0}
    assert np.abs(sampler.from_noise(noise, **same).astype(int) - images).max() <= 1
    # The inversion reverses the steps with the same conditions, and misses without them.
    again = sampler.reconstruct(images, **same)
    noise = sampler.encode(images, **same)
    np.testing.assert_array_equal(again, sampler.from_noise(noise, **same))
    other = sampler.from_noise(noise, **{**same, "conditions": of([5, 6])})
    errors = [np.abs(images.astype(int) - each).mean() for each in (again, other)]
    assert errors[0] < errors[1]


def test_painting(sampler: Sampler) -> None:
    photos = sampler.sample(2, steps=2, conditions=of(0))
    mask = np.zeros((16, 16), bool)
    mask[:8] = True
    one, other = (
        sampler.inpaint(photos, mask, steps=2, conditions=of(rows)) for rows in ([1, 2], [1, 3])
    )
    np.testing.assert_array_equal(one[0], other[0])
    assert (one[1, :8] != other[1, :8]).any()
    np.testing.assert_array_equal(one[:, 8:], photos[:, 8:])


def test_redrawing_a_photograph(sampler: Sampler) -> None:
    photos = sampler.sample(2, steps=4, conditions=of(0))
    same: dict[str, Any] = {"seed": 5, "steps": 4}
    both = sampler.edit(photos, 0.5, conditions=of([1, 2]), **same)
    one = sampler.edit(photos[1:], 0.5, seeds=[6], steps=4, conditions=of(2))
    np.testing.assert_array_equal(both[1:], one)
    assert (both != sampler.edit(photos, 0.5, conditions=of(3), **same)).any(axis=(1, 2, 3)).all()


def test_guidance_leaves_conditions_out(sampler: Sampler) -> None:
    def drawn(**arguments: Any) -> np.ndarray:
        return sampler.sample(seeds=[3], steps=2, **arguments)

    expected = drawn(conditions=of(0), guidance=sampler.bundle.default_guidance)
    np.testing.assert_array_equal(drawn(conditions=of(0)), expected)
    assert (drawn(conditions=of(0), guidance=1.0) != expected).any()
    # At 0 only the sketch is left, which has no null.
    nulls = {"text": np.full((2, 3), 0.5), "age": 9, "sketch": GIVEN["sketch"][0]}
    np.testing.assert_array_equal(
        drawn(conditions=of(0), guidance=0.0), drawn(conditions=nulls, guidance=1.0)
    )


def test_classes_and_conditions_together(sketches_bundle: Path) -> None:
    sketches = GIVEN["sketch"][:4]
    with Sampler(sketches_bundle, device="cpu", max_batch=3) as both:
        whole = both.sample(4, steps=3, conditions={"sketch": sketches}, labels=[1, -1, 2, 0])
        *_, (_, last) = both.stepwise(
            4, steps=3, conditions={"sketch": sketches}, labels=[1, -1, 2, 0], guidance=3.0
        )
        assert np.abs(whole.astype(int) - last).max() <= 1
        plain = both.sample(2, steps=2, conditions={"sketch": sketches[0]}, labels=-1)
        np.testing.assert_array_equal(
            plain,
            both.sample(2, steps=2, conditions={"sketch": sketches[0]}, labels=-1, guidance=1.0),
        )


def test_a_condition_with_a_default_may_be_left_out(sketches_bundle: Path) -> None:
    grey = {"sketch": np.full((6, 10, 1), 128, np.uint8)}
    with Sampler(sketches_bundle, device="cpu") as both:
        expected = both.sample(2, steps=2, conditions=grey)
        for nothing in (None, {}):
            images = both.sample(2, steps=2, conditions=nothing)
            np.testing.assert_array_equal(images, expected)


def test_the_default_guidance(conditions_bundle: Path, sketches_bundle: Path) -> None:
    nulls, classes = open_bundle(conditions_bundle), open_bundle(sketches_bundle)

    def guidance(bundle: Bundle, labels: int | None = None) -> Mapping[str, float]:
        return checked_labels_and_guidance(bundle, labels, None, count=2).numbers

    both = classes._replace(conditions=nulls.conditions)
    assert guidance(nulls) == guidance(classes, 1) == guidance(both, -1) == {"guidance": 3.0}
    assert guidance(classes) == guidance(classes, -1) == {"guidance": 1.0}
    neither = classes._replace(class_names=())
    assert guidance(neither) == {}
    with pytest.raises(ValueError, match=r"guidance=2\.0: the model of \S+ has nothing to guide"):
        checked_labels_and_guidance(neither, None, 2.0, count=2)
    with pytest.raises(ValueError, match=r"labels=1: the model of \S+ knows no classes"):
        checked_labels_and_guidance(nulls, 1, None, count=2)


@pytest.mark.slow
def test_an_unrolled_graph_for_batches(sampler: Sampler, tmp_path: Path) -> None:
    from golden_bundles import make  # which imports TensorFlow

    graphs = ("sampler", "from_noise", "noise", "step")
    unrolled: dict[str, Any] = {"unroll_steps": 3, "batch_size": 4, "numbers_as_lists": True}
    bundle = make("conditions.bundle", tmp_path / "unrolled.bundle", graphs=graphs, **unrolled)
    given: dict[str, Any] = {"conditions": GIVEN, "guidance": 2.0}
    expected = sampler.sample(7, steps=3, **given).astype(int)
    with Sampler(bundle, device="cpu") as fixed:
        fixed.warm_up(1)
        *_, (_, last) = fixed.stepwise(7, steps=3, **given)
        for images in (fixed.sample(7, **given), last):
            assert np.abs(images - expected).max() <= 1
        way = fixed.interpolate(1, 4, 5, conditions=of(2))
        assert (
            np.abs(way.astype(int) - sampler.interpolate(1, 4, 5, steps=3, conditions=of(2))).max()
            <= 1
        )


def test_a_run_of_no_meaning_fits_the_graphs(sampler: Sampler) -> None:
    sampler.warm_up(2)
    feeds = {"seeds": np.arange(2), "steps": np.array(1), **unguided(sampler.bundle, 2)}
    assert feeds["guidance"] == 1
    assert len(sampler.run("sampler", feeds)[0]) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": np.array([2, 3])}, "age from 2 to 3: expected numbers from 3 to 9"),
        ({"age": np.array([3])}, r"age of shape \[1\]: expected \[2\]"),
        ({"text": np.full((2, 2, 3), np.nan, np.float32)}, "text from nan to nan: expected finite"),
        ({"sketch": np.zeros((2, 10, 6, 1), np.uint8)}, r"sketch of shape \[2, 10, 6, 1\]: expec"),
        ({"sketch": np.zeros((2, 6, 10, 1))}, "sketch of dtype float64: expected uint8"),
    ],
)
def test_inputs_of_a_graph(sampler: Sampler, change: dict[str, Any], message: str) -> None:
    feeds = {"seeds": np.arange(2), "steps": np.array(1), **unguided(sampler.bundle, 2)}
    with pytest.raises(ValueError, match=message):
        sampler.run("sampler", feeds | change)


METHODS = ("sample", "batches", "stepwise", "trajectory")


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (
            None,
            r"conditions: missing, expected text float32\[2, 3\] \(two words, as numbers\); age",
        ),
        ({}, r"age int64\[\] from 3 to 9; sketch uint8\[6, 10, 1\]$"),
        (of(0) | {"txt": 1}, "conditions: 'txt' is none of the bundle's; did you mean 'text'"),
        (of(0) | {"poem": 1}, "'poem' is none of the bundle's; expected text, age, sketch"),
        (of(0) | {5: 1}, "5 is none of the bundle's; expected text, age, sketch"),
        ({"text": 1}, r"conditions: missing, expected age int64\[\] .*; sketch"),
        ([1, 2], "conditions: received list, expected a dict of arrays by name"),
        ("text", "conditions: received str, expected a dict"),
        (of([0, 1]), r"'text'\] has shape \[2, 2, 3\], expected \[2, 3\] .*, or \[3, 2, 3\]"),
        (of(0) | {"text": np.zeros((3, 2))}, r"has shape \[3, 2\], expected \[2, 3\] for all"),
        (of(0) | {"text": np.zeros(6)}, r"has shape \[6\], expected \[2, 3\]"),
        (of(0) | {"text": np.zeros((0, 2, 3))}, r"has shape \[0, 2, 3\]"),
        (of(0) | {"text": np.zeros((1, 1, 2, 3))}, r"has shape \[1, 1, 2, 3\]"),
        (of(0) | {"text": [[1, 2], [3]]}, r"conditions\['text'\] is uneven: expected lists of one"),
        (of(0) | {"text": np.full((2, 3), np.nan)}, "has numbers from nan to nan, expected finite"),
        (
            of(0) | {"text": np.full((2, 3), 1e39)},
            "has numbers from inf to inf, expected finite on",
        ),
        (of(0) | {"text": np.zeros((2, 3), bool)}, "has dtype bool, expected float32"),
        (of(0) | {"text": np.zeros((2, 3), complex)}, "has dtype complex128, expected float32"),
        (of(0) | {"text": np.full((2, 3), "a")}, "has dtype <U1, expected float32"),
        (of(0) | {"text": np.full((2, 3), None)}, "has dtype object, expected float32"),
        (of(0) | {"text": None}, r"has shape \[\], expected \[2, 3\]"),
        (of(0) | {"age": 4.0}, r"conditions\['age'\] has dtype float64, expected int64"),
        (of(0) | {"age": None}, "has dtype object, expected int64"),
        (of(0) | {"age": True}, "has dtype bool, expected int64"),
        (of(0) | {"age": 2**70}, "has dtype object, expected int64"),
        (of(0) | {"age": 2**63}, "from 9223372036854775808 to 9223372036854775808, expected whole"),
        (of(0) | {"age": [3, 9, 10]}, "has numbers from 3 to 10, expected whole ones from 3 to 9"),
        (of(0) | {"sketch": GIVEN["sketch"][0].astype(int)}, "has dtype int64, expected uint8"),
        (of(0) | {"sketch": GIVEN["sketch"][0] > 9}, "has dtype bool, expected uint8"),
        (of(0) | {"sketch": GIVEN["sketch"][0] / 255}, "has dtype float64, expected uint8"),
        (
            of(0) | {"sketch": GIVEN["sketch"][0, ..., 0]},
            r"has shape \[6, 10\], expected \[6, 10, 1",
        ),
    ],
)
def test_wrong_conditions(sampler: Sampler, conditions: Any, message: str) -> None:
    for method in METHODS:
        with pytest.raises(ValueError, match=message) as caught:
            getattr(sampler, method)(3, steps=1, conditions=conditions)
        assert "\n" not in str(caught.value)


def test_wrong_conditions_of_photographs(sampler: Sampler) -> None:
    photos, wrong = np.zeros((2, 16, 16, 3), np.uint8), of([0, 1, 2])
    noise = photos.astype(np.float32)
    for draw in (
        lambda: sampler.interpolate(0, 1, 2, conditions=wrong),
        lambda: sampler.from_noise(noise, conditions=wrong),
        lambda: sampler.encode(photos, conditions=wrong),
        lambda: sampler.reconstruct(photos, conditions=wrong),
        lambda: sampler.inpaint(photos, photos[..., :1], conditions=wrong),
    ):
        with pytest.raises(ValueError, match=r"'text'\] has shape \[3, 2, 3\], expected \[2, 3\]"):
            draw()


def test_a_bundle_without_conditions_takes_none(full_bundle: Path) -> None:
    with Sampler(full_bundle, device="cpu") as plain:
        with pytest.raises(ValueError, match=r"conditions: 'text': \S+ takes none; leave them out"):
            plain.sample(1, conditions={"text": 1})
        expected = plain.sample(1, steps=1)
        for nothing in (None, {}):
            images = plain.sample(1, steps=1, conditions=nothing)
            np.testing.assert_array_equal(images, expected)


def test_one_condition_for_a_million_images_takes_the_memory_of_a_batch(
    conditions_bundle: Path,
) -> None:
    rows = checked_conditions(open_bundle(conditions_bundle), of(0), 10**6)
    tracemalloc.start()
    batch = part(rows, np.arange(10**6 - 16, 10**6))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(batch["sketch"][15], GIVEN["sketch"][0])
    # All rows of the sketch are 60 MB.
    assert peak < 2**20
