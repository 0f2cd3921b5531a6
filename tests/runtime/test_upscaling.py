"""Pictures of any size, enlarged in tiles that leave no seams."""

import json
import shutil
import threading
from collections.abc import Sequence
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import synthetic_flowers

from diffkiln.runtime import BundleError, CancelledError, Sampler, open_bundle
from diffkiln.runtime.bundle.tasks import upscaling_factor
from diffkiln.runtime.engine.tiles import side

# Of one tile of the bundle, and of its small picture.
SIZE, SMALL = (32, 24), (16, 12)
FLOWERS = synthetic_flowers(20, image_size=48, seed=3)


@pytest.fixture(scope="module")
def sampler(enlarging_bundle: Path):
    with Sampler(enlarging_bundle, device="cpu") as sampler:
        yield sampler


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return np.abs(a.astype(int) - b).max()


def test_a_picture_of_one_tile_is_what_sample_draws(sampler: Sampler) -> None:
    small = FLOWERS[:3, : SMALL[0], : SMALL[1]]
    for level in ({}, {"augmentation": [0.0, 0.5, 1.0]}):
        given = {"low_resolution": small, **level}
        drawn = sampler.sample(3, seed=4, steps=4, conditions=given)
        large = sampler.upscale(small, seed=4, steps=4, conditions=level)
        assert difference(large, drawn) <= 1  # the graphs step and sampler may round differently


def field_by_definition(sampler: Sampler, seed: int, tall: int, wide: int) -> np.ndarray:
    """The noise of a seed as docs/bundle.md says, one block at a time."""
    noise = np.empty((tall, wide, 3), np.float32)
    for row, column in product(range(-(-tall // 32)), range(-(-wide // 24))):
        digest = sha256(f"{seed},{row},{column}".encode()).digest()
        own = int.from_bytes(digest[:4], "big") % 2**31 if row or column else seed
        window = noise[32 * row : 32 * row + 32, 24 * column : 24 * column + 24]
        (block,) = sampler.run("noise", {"seeds": np.array([own], np.int64)})[0]
        window[:] = block[: window.shape[0], : window.shape[1]]
    return noise


def by_definition(sampler: Sampler, small: np.ndarray, seed: int, steps: int) -> np.ndarray:
    """What docs/bundle.md says of a picture of at least one tile, one tile at a time."""
    tall, wide = 2 * small.shape[0], 2 * small.shape[1]
    rows = [*range(0, small.shape[0] - 16, 12), small.shape[0] - 16]
    columns = [*range(0, small.shape[1] - 12, 9), small.shape[1] - 12]
    hills = [np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2 for size in SIZE]
    hill = hills[0][:, None, None] * hills[1][:, None]
    noisy = field_by_definition(sampler, seed, tall, wide)
    previous, images = np.zeros_like(noisy), np.zeros_like(noisy)
    feeds = {"steps": np.array(steps, np.int64), "augmentation": np.array([0.25], np.float32)}
    for step in range(steps):
        total, sums = np.zeros((tall, wide, 1)), np.zeros((3, tall, wide, 3))
        for top, left in product(rows, columns):
            tile = (slice(2 * top, 2 * top + 32), slice(2 * left, 2 * left + 24))
            feeds |= {"step": np.array(step, np.int64), "noisy": noisy[tile][None]}
            feeds["previous_image"] = previous[tile][None]
            feeds["low_resolution"] = small[top : top + 16, left : left + 12][None]
            sums[:, *tile] += hill * np.concatenate(sampler.run("step", feeds))
            total[tile] += hill
        noisy, previous, images = (sums / total).astype(np.float32)
    return np.rint(images).astype(np.uint8)


@pytest.mark.parametrize("size", [(16, 12), (17, 30), (40, 21)])
def test_tiles_are_what_the_page_on_bundles_says(sampler: Sampler, size: tuple[int, int]) -> None:
    small = FLOWERS[5, : size[0], : size[1]]
    expected = by_definition(sampler, small, seed=2**63 - 1, steps=3)
    assert difference(sampler.upscale(small[None], seed=2**63 - 1, steps=3)[0], expected) <= 1


@pytest.mark.parametrize("size", [(1, 1), (3, 12), (16, 5), (17, 12), (15, 40), (33, 31)])
def test_pictures_of_any_size(sampler: Sampler, size: tuple[int, int]) -> None:
    small = FLOWERS[:2, : size[0], : size[1]]
    large = sampler.upscale(small, seeds=[9, 3], steps=2)
    assert (large.shape, large.dtype) == ((2, 2 * size[0], 2 * size[1], 3), np.uint8)
    alone = sampler.upscale(small[1:], seed=3, steps=2)
    assert difference(large[1:], alone) <= 1
    # The network brightens, but a pixel is near to the one that it is made of.
    means = [each.mean() for each in (large, small)]
    assert abs(means[0] - means[1]) < 64


def test_a_small_picture_is_mirrored(sampler: Sampler) -> None:
    small = FLOWERS[:1, :10, :7]
    whole = np.concatenate([small, small[:, ::-1][:, :6]], axis=1)
    whole = np.concatenate([whole, whole[:, :, ::-1][:, :, :5]], axis=2)
    expected = sampler.upscale(whole, steps=3)[:, :20, :14]
    np.testing.assert_array_equal(sampler.upscale(small, steps=3), expected)


@pytest.mark.parametrize("max_batch", [1, 5, 64])
def test_batches_change_nothing(enlarging_bundle: Path, sampler: Sampler, max_batch: int) -> None:
    expected = sampler.upscale(FLOWERS[:2], seed=2**62, steps=3)
    with Sampler(enlarging_bundle, device="cpu", max_batch=max_batch) as other:
        assert difference(other.upscale(FLOWERS[:2], seed=2**62, steps=3), expected) <= 1


def seams(sampler: Sampler, pictures: np.ndarray) -> float:
    """The mean step between pixels at the edges of tiles, over the mean step elsewhere."""
    large, at_edges, elsewhere = sampler.upscale(pictures, steps=3).astype(float), [], []
    for axis, size in ((1, SIZE[0]), (2, SIZE[1])):
        starts = side(large.shape[axis], size, 2).starts
        edges = {*starts, *(start + size for start in starts)}
        # Only between pixels of the small picture: there the steps of a bilinear filter are larger.
        steps = np.abs(np.diff(large, axis=axis)).mean(axis=(0, 3 - axis, 3))[1::2]
        for place, step in enumerate(steps, 1):
            (at_edges if 2 * place in edges else elsewhere).append(step)
    return float(np.mean(at_edges) / np.mean(elsewhere))


@pytest.mark.parametrize("pictures", [FLOWERS, np.full((20, 48, 48, 3), 128, np.uint8)])
def test_tiles_leave_no_seams(sampler: Sampler, pictures: np.ndarray) -> None:
    """Weights that are equal all over a tile leave flowers 1.17 times the step."""
    assert seams(sampler, pictures) <= 1.05


def test_progress_and_cancelling(sampler: Sampler) -> None:
    seen: list[tuple[int, int]] = []
    sampler.upscale(FLOWERS[:1], steps=2, progress=lambda *counts: seen.append(counts))
    # 48 of 16 pixels in steps of 12, 48 of 12 in steps of 9: 4 times 5 tiles, in batches of 16.
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    cancel = threading.Event()
    with pytest.raises(CancelledError):
        sampler.upscale(FLOWERS, steps=50, cancel=cancel, progress=lambda *_: cancel.set())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"images": FLOWERS[0]},
            r"images of shape \[48, 48, 3\]: expected \[N, height, width, 3\]",
        ),
        ({"images": FLOWERS[..., :1]}, r"images of shape \[20, 48, 48, 1\]: expected"),
        ({"images": FLOWERS[:, :0]}, r"images of shape \[20, 0, 48, 3\]: expected"),
        ({"images": FLOWERS / 255}, "images of dtype float64: expected uint8"),
        (
            {"images": np.broadcast_to(FLOWERS[:1, :1, :1], (1, 4097, 4096, 3))},
            r"expected at most 16777216 pixels each, to be enlarged 2 times; cut them",
        ),
        ({"seeds": [1]}, "seeds: received 1, expected 20, one for each image"),
        ({"labels": 1}, "labels=1: the model of .* knows no classes"),
        ({"conditions": [1]}, "conditions: received list, expected a dict"),
        ({"conditions": {"low_resolution": 1}}, "'low_resolution' is made from images; leave it"),
        ({"conditions": {"augmentatio": 1}}, "did you mean 'augmentation'"),
        ({"conditions": {"augmentation": [1, 2]}}, r"'augmentation'\] has shape \[2\], expected"),
        ({"cancel": 1}, "cancel=1: expected a threading.Event"),
    ],
)
def test_wrong_arguments(sampler: Sampler, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampler.upscale(**{"images": FLOWERS, "steps": 1, **arguments})


def changed(bundle: Path, folder: Path, change: Any) -> Path:
    """A copy whose manifest was changed."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    change(manifest)
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def test_bundles_that_cannot_enlarge(
    enlarging_bundle: Path, full_bundle: Path, tmp_path: Path
) -> None:
    def fresh(manifest: dict[str, Any]) -> None:
        step, seeds = (
            manifest["graphs"]["step"],
            {"name": "seeds", "dtype": "int64", "shape": ["N"]},
        )
        step["inputs"].insert(4, seeds)
        step["outputs"].insert(2, seeds | {"name": "next_seeds"})

    def stepless(manifest: dict[str, Any]) -> None:
        del manifest["graphs"]["step"]

    for bundle, message in (
        (full_bundle, r"enlarges no pictures, expected the condition low_resolution, uint8 \[heig"),
        (changed(enlarging_bundle, tmp_path / "a", fresh), "draws fresh noise .* with --eta=0"),
        (changed(enlarging_bundle, tmp_path / "b", stepless), r"no graph 'step', .*noise,step"),
    ):
        with pytest.raises(BundleError, match=message):
            Sampler(bundle, device="cpu").upscale(FLOWERS)


@pytest.mark.parametrize(
    "shape", [[32, 24, 3], [16, 24, 3], [16, 12, 1], [5, 4, 3], [16, 12], [40, 30, 3]]
)
def test_other_small_pictures(enlarging_bundle: Path, shape: Sequence[int]) -> None:
    bundle = open_bundle(enlarging_bundle)
    small = bundle.conditions[0]._replace(shape=tuple(shape))
    with pytest.raises(BundleError, match="of which 32 x 24 is a multiple"):
        upscaling_factor(bundle._replace(conditions=(small,)))
