"""What manifests say of arrays and latents, and how they may not contradict themselves."""

from pathlib import Path
from typing import Any

import pytest
from small_manifest import manifest, write

from diffkiln.runtime import BundleError, open_bundle


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
