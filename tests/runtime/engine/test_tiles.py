"""Tiles of a large picture, and the noise under them."""

from pathlib import Path

import numpy as np
import pytest

from diffkiln.runtime import Sampler
from diffkiln.runtime.engine.engine import Engine
from diffkiln.runtime.engine.field import block_seed, noise_field
from diffkiln.runtime.engine.session import SessionSettings
from diffkiln.runtime.engine.tiles import Tiles, side


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("small", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("more", [0, 1, 2, 5, 16, 41])
def test_tiles_cover_a_side(small: int, factor: int, more: int) -> None:
    size, length = small * factor, (small + more) * factor
    tiles = side(length, size, factor)
    assert tiles.starts[0] == 0
    assert tiles.starts[-1] == length - size
    assert not np.any(np.array(tiles.starts) % factor)
    steps = np.diff(tiles.starts)
    assert not len(steps) or (steps > 0).all()
    # A tile that is one pixel of the small picture shares nothing.
    assert small == 1 or not len(steps) or (size - steps >= size / 4).all()
    total = np.zeros(length)
    for start, weights in zip(tiles.starts, tiles.weights, strict=True):
        assert (weights > 0).all()
        total[start : start + size] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)  # float32


def test_one_tile_counts_all() -> None:
    assert (side(12, 12, 2).weights == 1).all()


def test_a_tile_counts_little_at_its_edge() -> None:
    """By sin²(π·(i + ½)/size): at the edge of the second tile, and in the middle of the overlap."""
    first, second = side(28, 16, 4).weights
    window = np.sin(np.pi * (np.arange(16) + 0.5) / 16) ** 2
    np.testing.assert_allclose(second[:4], window[:4] / (window[:4] + window[12:]), rtol=1e-6)
    np.testing.assert_allclose(first[11:13], [1, 1 - second[0]], rtol=1e-6)
    assert second[0] < 0.04


def test_the_mean_of_equal_tiles_is_the_canvas() -> None:
    canvas = np.random.default_rng(3).normal(size=(2, 22, 19, 3)).astype(np.float32)
    tiles = Tiles(side(22, 8, 1), side(19, 6, 1))
    places = [(image, tile) for image in range(2) for tile in range(len(tiles))]
    sums = np.zeros_like(canvas)
    tiles.add(sums, places, tiles.cut(canvas, places))
    np.testing.assert_allclose(sums, canvas, rtol=1e-5, atol=1e-6)  # float32


def test_known_seeds_of_blocks() -> None:
    """As docs/bundle.md lists them."""
    assert block_seed(7, 0, 0) == 7
    assert block_seed(2**63 - 1, 0, 0) == 2**63 - 1
    assert block_seed(0, 0, 1) == 1473814400
    assert block_seed(0, 1, 0) == 2004085968
    assert block_seed(2**63 - 1, 1, 1) == 1131730822


def test_a_field_does_not_depend_on_its_size(enlarging_bundle: Path) -> None:
    with Sampler(enlarging_bundle, device="cpu") as sampler:
        own, right = (
            sampler.run("noise", {"seeds": np.array([seed])})[0][0]
            for seed in (5, block_seed(5, 0, 1))
        )
        for batch in (1, 4, None):
            engine = Engine(sampler.bundle, SessionSettings("cpu", max_batch=batch))
            field = noise_field(engine, 5, 70, 40)
            np.testing.assert_array_equal(field[:32, :24], own)
            np.testing.assert_array_equal(field[:32, 24:40], right[:, :16])
            np.testing.assert_array_equal(field[:33, :25], noise_field(engine, 5, 33, 25))
    assert abs(field.std() - 1) < 0.05  # 8400 numbers: the standard error is 0.008
