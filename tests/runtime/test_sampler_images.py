"""Images from noise, from other images and between two seeds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import small_bundle

from diffkiln.runtime import BundleError, Sampler


@pytest.fixture(scope="module")
def sampler(full_bundle: Path) -> Sampler:
    return Sampler(full_bundle, device="cpu", max_batch=2)


@pytest.fixture(scope="module")
def images(sampler: Sampler) -> np.ndarray:
    return sampler.sample(3, steps=3)


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(int) - b)


def test_an_interpolation_ends_in_the_two_pictures(sampler: Sampler) -> None:
    frames = sampler.interpolate(3, 8, 5, steps=3)
    ends = sampler.sample([3, 8], steps=3)
    assert frames.shape == (5, *sampler.bundle.sample_shape)
    # Float32 noise from float64 interpolation; rounding may tip a pixel.
    assert difference(frames[[0, -1]], ends).max() <= 1
    assert difference(frames[2], ends).min(axis=0).max() > 1


def test_noise_gives_the_images_of_its_seeds(sampler: Sampler, images: np.ndarray) -> None:
    noise = sampler.run("noise", {"seeds": np.arange(3)})[0]
    assert difference(sampler.from_noise(noise, steps=3), images).max() <= 1


def test_encoded_images_are_restored(sampler: Sampler, images: np.ndarray) -> None:
    noise = sampler.encode(images, steps=20)
    assert noise.shape == images.shape
    assert noise.dtype == np.float32
    restored = sampler.reconstruct(images, steps=20)
    assert np.array_equal(restored, sampler.from_noise(noise, steps=20))
    # A model of 40 steps restores to about 5 levels of 255; other images are 60 away.
    assert difference(restored, images).mean() < 20
    assert difference(restored, images[[1, 2, 0]]).mean() > 2 * difference(restored, images).mean()


@pytest.mark.parametrize("whole_mask", [True, False])
def test_only_the_masked_part_is_painted(
    sampler: Sampler, images: np.ndarray, whole_mask: bool
) -> None:
    mask = np.zeros((3, *images.shape[1:3], 1), np.uint8)
    mask[:, 4:9] = 255
    painted = sampler.inpaint(images, mask if whole_mask else mask[0, ..., 0] > 0, steps=3, seed=50)
    assert np.array_equal(painted[:, :4], images[:, :4])
    assert np.array_equal(painted[:, 9:], images[:, 9:])
    assert (painted[:, 4:9] != images[:, 4:9]).mean() > 0.5


def test_masks_are_painted_by_their_own_seeds(sampler: Sampler, images: np.ndarray) -> None:
    mask = np.ones(images.shape[1:3], bool)
    one = sampler.inpaint(images[1:2], mask, seeds=[9], steps=2)
    assert np.array_equal(sampler.inpaint(images, mask, seeds=[4, 9, 5], steps=2)[1], one[0])


def test_a_trajectory_ends_in_the_pictures(
    sampler: Sampler, tiny_bundle: Path, images: np.ndarray
) -> None:
    frames = sampler.trajectory(3, steps=3)
    assert frames.shape == (3, *images.shape)
    assert difference(frames[-1], images).max() <= 1
    # Without the graph, the steps run one by one.
    assert difference(Sampler(tiny_bundle, device="cpu").trajectory(3, steps=3), frames).max() <= 1


@pytest.mark.parametrize("bundle", ["tiny_bundle", "full_bundle"])
def test_every_third_frame_counts_back_from_the_last(
    bundle: str, request: pytest.FixtureRequest
) -> None:
    sampler = Sampler(request.getfixturevalue(bundle), device="cpu")
    every = sampler.trajectory(1, steps=7)
    assert difference(sampler.trajectory(1, steps=7, every=3), every[[0, 3, 6]]).max() <= 1


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("interpolate", {"seed_a": 0, "seed_b": -1, "frames": 3}, "seed_b=-1: expected"),
        ("interpolate", {"seed_a": 0, "seed_b": 1, "frames": 1}, "frames=1: expected .* from 2"),
        ("trajectory", {"count": 1, "every": 0}, "every=0: expected"),
        (
            "from_noise",
            {"noise": np.zeros((1, 8, 8, 3))},
            r"shape \[1, 8, 8, 3\]: expected \[N, 16",
        ),
        ("from_noise", {"noise": np.zeros((1, 16, 16, 3), int)}, "noise of dtype int64"),
        ("from_noise", {"noise": np.full((1, 16, 16, 3), np.nan)}, "without NaN"),
        ("encode", {"images": np.zeros((1, 16, 16, 3))}, "dtype float64: expected uint8"),
        ("encode", {"images": np.zeros((16, 16, 3), np.uint8)}, r"shape \[16, 16, 3\]"),
        ("reconstruct", {"images": np.zeros((0, 16, 16, 3), np.uint8)}, r"shape \[0, "),
    ],
)
def test_arguments_out_of_range(
    sampler: Sampler, method: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(sampler, method)(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.zeros((16, 16))}, "mask of dtype float64: expected uint8 or bool"),
        ({"mask": np.zeros((2, 16, 16, 1), bool)}, r"expected \[3, 16, 16, 1\], one for each"),
        ({"seeds": [1]}, "seeds: received 1, expected 3, one for each image"),
        ({"seed": 2**63 - 1}, "seed=9223372036854775807: expected"),
        ({"steps": 0}, "steps=0: expected"),
    ],
)
def test_masks_and_seeds_out_of_range(
    sampler: Sampler, images: np.ndarray, change: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"mask": np.zeros((16, 16), bool)} | change
    with pytest.raises(ValueError, match=message):
        sampler.inpaint(images, **arguments)


def test_a_bundle_without_the_graph_says_how_to_get_it(tiny_bundle: Path) -> None:
    sampler = Sampler(tiny_bundle, device="cpu")
    with pytest.raises(
        BundleError, match=r"holds no graph 'encode', .* --graphs=sampler,.*,encode"
    ):
        sampler.encode(np.zeros((1, 16, 16, 3), np.uint8))


def test_fresh_noise_belongs_to_a_seed(tmp_path: Path) -> None:
    bundle = small_bundle(
        tmp_path / "fresh", eta=1.0, graphs=("sampler", "from_noise", "noise", "step")
    )
    with Sampler(bundle, device="cpu") as sampler:
        seeds = [4, 9]
        images = sampler.sample(seeds, steps=3)
        noise = sampler.run("noise", {"seeds": np.array(seeds)})[0]
        assert difference(sampler.from_noise(noise, seeds=seeds, steps=3), images).max() <= 1
        stepped = sampler.sample(seeds, steps=3, progress=lambda *_: None)
        assert difference(stepped, images).max() <= 1
        with pytest.raises(ValueError, match="seeds: received none, expected one for each image"):
            sampler.from_noise(noise, steps=3)
        with pytest.raises(BundleError, match=r"fresh noise .* export the model with --eta=0"):
            sampler.interpolate(0, 1, 3)
