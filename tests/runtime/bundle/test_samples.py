"""What manifests say of arrays, latents and cascades, and where they contradict themselves."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_manifest import TEXT, conditioned, manifest, write

from diffkiln.runtime import BundleError, open_bundle
from diffkiln.runtime.bundle.tasks import is_trained_to_paint, upscaling_factor


def entry(*shape: int) -> dict[str, Any]:
    return {"shape": [*shape], "mean": [0.0] * shape[-1], "std": [1.0] * shape[-1]}


def of_arrays(*shape: int) -> dict[str, Any]:
    """A manifest of arrays, whose sampler makes them."""
    values = manifest()
    for name in ("image", "pixel_mean", "pixel_std"):
        del values[name]
    output = {"name": "samples", "dtype": "float32", "shape": ["N", *shape]}
    values["graphs"]["sampler"]["outputs"] = [output]
    return values | {"array": entry(*shape), "format_version": 5}


@pytest.mark.parametrize("shape", [(5,), (7, 3), (4, 6, 9)])
def test_arrays_have_one_to_three_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    bundle = open_bundle(write(tmp_path, of_arrays(*shape)))
    assert (bundle.sample_shape, bundle.noise_shape) == (shape, shape)
    assert (bundle.draws_arrays, bundle.sample_dtype, bundle.samples) == (
        True,
        "float32",
        "samples",
    )


def test_latents_are_of_images(tmp_path: Path) -> None:
    bundle = open_bundle(write(tmp_path, manifest() | {"latent": entry(2, 3, 16)}))
    assert (bundle.sample_shape, bundle.noise_shape) == ((8, 6, 3), (2, 3, 16))
    assert (bundle.draws_arrays, bundle.samples) == (False, "images")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"image": manifest()["image"]}, "it has an 'array' and 'image', expected one of them"),
        ({"latent": entry(2)}, "it has an 'array' and 'latent', expected one of them"),
        ({"array": entry(2, 3, 4, 5)}, "array.shape is .*, expected a list of 1 to 3 positive"),
        ({"array": entry(2**12, 2**13)}, r"array.shape is \[4096, 8192\], expected at most 167772"),
        ({"array": entry(7, 3) | {"mean": [0.0]}}, "array.mean has 1 numbers, expected one for"),
        ({"array": {"shape": [7, 3]}}, "array.mean is missing, expected a number for each entry"),
        ({"array": entry(7, 4)}, r"is .* samples float32\[N, 7, 3\], expected .* as 'array' says"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(BundleError, match=expected):
        open_bundle(write(tmp_path, of_arrays(7, 3) | changes))


@pytest.mark.parametrize("missing", ["image", "pixel_mean", "pixel_std"])
def test_images_need_their_entries(tmp_path: Path, missing: str) -> None:
    values = {name: value for name, value in manifest().items() if name != missing}
    with pytest.raises(BundleError, match=rf"{missing} is missing, expected (an object|a number)"):
        open_bundle(write(tmp_path, values))


def test_steps_to_latents_need_a_decoder(tmp_path: Path) -> None:
    values = manifest() | {"latent": entry(2, 3, 16)}
    values["graphs"]["step"] = values["graphs"]["sampler"]
    with pytest.raises(BundleError, match="'step' makes latents, expected a graph 'decoder'"):
        open_bundle(write(tmp_path, values))


def ports(**tensors: tuple[str, list[Any]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "dtype": dtype, "shape": shape} for name, (dtype, shape) in tensors.items()
    ]


SMALL, LARGE = ("float32", ["N", 4, 3, 3]), ("uint8", ["N", 8, 6, 3])
ROWS, NUMBER = ("int64", ["N"]), ("int64", [])
SECOND: dict[str, Any] = {
    "factor": 2,
    "steps": 20,
    "sha256": "0" * 64,
    "model": {"parameters": 1},
    "schedule": {},
    "sampler": {},
}


def of_two_stages(values: dict[str, Any], **shared: tuple[str, list[Any]]) -> dict[str, Any]:
    """A manifest whose second stage takes what is `shared`."""
    conditions = values["graphs"]["sampler"]["inputs"][2:]
    graph = {"file": "sampler.onnx", "opset": 18}
    values["graphs"]["step"] = {
        **graph,
        "inputs": [*ports(step=NUMBER, steps=NUMBER, noisy=SMALL), *conditions],
        "outputs": ports(next_noisy=SMALL, low_resolution=SMALL),
    }
    values["graphs"]["upscaler"] = {
        **graph,
        "inputs": ports(low_resolution=SMALL, seeds=ROWS, **shared),
        "outputs": ports(images=LARGE),
    }
    values["noise"]["version"] = 2
    return values | {"then": copy.deepcopy(SECOND), "format_version": 6}


def test_cascades_draw_in_two_stages(tmp_path: Path) -> None:
    bundle = open_bundle(write(tmp_path, of_two_stages(manifest())))
    assert (bundle.sample_shape, bundle.small_shape) == ((8, 6, 3), (4, 3, 3))
    assert (bundle.noise_shape, bundle.factor, bundle.samples) == ((4, 3, 3), 2, "images")


def test_a_second_stage_shares_what_the_first_knows(tmp_path: Path) -> None:
    values = conditioned(TEXT)
    values["model"]["class_names"] = ["a", "b"]
    shared = {"labels": ROWS, "text": ("float32", ["N", 2, 3])}
    assert open_bundle(write(tmp_path, of_two_stages(values, **shared))).factor == 2


@pytest.mark.parametrize("shared", [{"labels": ROWS}, {"text": ("float32", ["N", 2, 3])}])
def test_a_second_stage_takes_nothing_else(tmp_path: Path, shared: dict[str, Any]) -> None:
    values = of_two_stages(manifest(), **shared)
    with pytest.raises(BundleError, match="or no more inputs than these; export"):
        open_bundle(write(tmp_path, values))


def test_what_a_first_stage_draws_is_no_condition(tmp_path: Path) -> None:
    small = {"name": "low_resolution", "dtype": "uint8", "shape": [4, 3, 3]}
    assert open_bundle(write(tmp_path, conditioned(small))).conditions
    with pytest.raises(BundleError, match=r"conditions\[0\].name is low_resolution, expected one"):
        open_bundle(write(tmp_path, of_two_stages(conditioned(small))))


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda v: v.update(latent=entry(2, 3, 16)), "has a 'latent' and 'then', expected one of"),
        (lambda v: v.update(array=entry(7, 3)) or v.pop("image"), "has an 'array' and 'then', exp"),
        (lambda v: v["noise"].update(version=1), "noise.version is 1, expected 2 beside 'then'"),
        (lambda v: v["noise"].update(version=3), "noise.version is 3, expected 1 or 2"),
        (lambda v: v["then"].update(factor=4), r"then.factor is 4, expected one that divides 8 x"),
        (lambda v: v["then"].update(factor=1), "then.factor is 1, expected a whole number from 2"),
        (lambda v: v["then"].update(factor=65), "then.factor is 65, expected a whole number from"),
        (lambda v: v["then"].update(steps=0), "then.steps is 0, expected a whole number of steps"),
        (lambda v: v["then"].update(steps=1001), "then.steps is 1001, expected a whole number of"),
        (lambda v: v["then"].update(sha256="7"), "then.sha256 is '7', expected 64 hexadecimal"),
        (lambda v: v["then"].pop("sha256"), "then.sha256 is missing, expected 64 hexadecimal"),
        (
            lambda v: v["then"]["model"].clear(),
            "then.model.parameters is missing, expected a whole",
        ),
        (lambda v: v["then"].pop("schedule"), "then.schedule is missing, expected an object"),
        (
            lambda v: v.update(then=[]),
            r"then is \[\], expected an object that describes the second",
        ),
        (
            lambda v: v["graphs"].pop("upscaler"),
            "'step' makes small pictures, expected a graph 'up",
        ),
        (
            lambda v: v["graphs"]["step"].update(outputs=ports(noisy=SMALL, images=LARGE)),
            "last output of the graph 'step' is images uint8.*, expected low_resolution float32",
        ),
        (
            lambda v: v["graphs"]["upscaler"].update(outputs=ports(images=SMALL)),
            r"'upscaler' is .*, expected low_resolution float32\[N, 4, 3, 3\], seeds int64\[N\] ->",
        ),
        (
            lambda v: v["graphs"]["upscaler"].update(inputs=ports(low_resolution=SMALL)),
            "'upscaler' is low_resolution .*, expected low_resolution .*, seeds",
        ),
        (
            lambda v: v["graphs"]["upscaler"].update(
                inputs=ports(low_resolution=LARGE, seeds=ROWS)
            ),
            "'upscaler' is low_resolution uint8.*, expected low_resolution float32",
        ),
    ],
)
def test_no_second_stage_follows(tmp_path: Path, change: Change, expected: str) -> None:
    values = of_two_stages(manifest())
    change(values)
    with pytest.raises(BundleError, match=expected) as caught:
        open_bundle(write(tmp_path, values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("graph", ["encode", "trajectory", "inpaint", "edit"])
def test_graphs_of_one_stage_are_elsewhere(tmp_path: Path, graph: str) -> None:
    bundle = open_bundle(write(tmp_path, of_two_stages(manifest())))
    with pytest.raises(BundleError, match="no such graph, use the bundle of its first stage inst"):
        bundle.graph(graph)
    with pytest.raises(
        BundleError, match="export the model again with --graphs=sampler,step,noise"
    ):
        bundle.graph("noise")


def test_nothing_is_enlarged_or_painted(tmp_path: Path) -> None:
    bundle = open_bundle(write(tmp_path, of_two_stages(manifest())))
    with pytest.raises(BundleError, match="draws pictures of two stages, and enlarges none; use"):
        upscaling_factor(bundle)
    assert not is_trained_to_paint(bundle)
