"""Pictures that a task restores: their likeness to the originals, and the grid that shows them."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from pictures import synthetic_flowers
from PIL import Image

from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.schedules import CosineSchedule
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.quality.restoration import Likeness, Restoration, likeness

PICTURES = synthetic_flowers(20, image_size=16)
LABELS = np.full(20, -1, np.int64)


def restoration(network: Any, count: int = 20, **settings: Any) -> Restoration:
    config = preset_config("tiny", image_size=16, widths=(8,), **settings)
    denoiser = Denoiser(network, CosineSchedule(), "image", (0.5,) * 3, (0.25,) * 3)
    return Restoration(config, denoiser, PICTURES[:count], LABELS[:count])


def enlarged(inputs: Any) -> Any:
    """What a network would predict that only repeats the pixels of the small picture."""
    return tf.repeat(tf.repeat(inputs[2], 4, axis=1), 4, axis=2)


def test_likeness_follows_its_definitions() -> None:
    others = PICTURES ^ np.uint8(16)  # every level by 16
    measured = likeness(others, PICTURES)
    assert measured.psnr_db == pytest.approx(20 * np.log10(255 / 16), abs=1e-3)  # float32
    assert 0 < measured.ssim < 1


def test_a_picture_that_is_the_original_has_a_finite_likeness() -> None:
    assert likeness(PICTURES, PICTURES) == Likeness(100.0, 1.0)
    small = PICTURES[:, :8, :8]
    assert likeness(small, small) == Likeness(100.0, 1.0)


def test_the_likeness_is_that_of_what_the_network_draws() -> None:
    measured = restoration(enlarged, task="super_resolution", factor=4).measure()
    blocks = [Image.fromarray(each).reduce(4).resize((16, 16), 0) for each in PICTURES]
    expected = likeness(np.stack(list(map(np.asarray, blocks))), PICTURES)
    # A level may be rounded either way.
    assert measured == pytest.approx(expected, rel=1e-3)


def test_painted_pictures_keep_what_was_known() -> None:
    black = restoration(lambda inputs: 0 * inputs[0] - 2, task="inpainting")
    grid = black.draw()
    assert (grid.shape, grid.dtype) == ((8 * 16, 6 * 16, 3), np.uint8)
    given, drawn, original = (grid[:16, 16 * place : 16 * (place + 1)] for place in range(3))
    np.testing.assert_array_equal(original, PICTURES[0])
    painted = np.any(drawn != original, axis=-1)
    assert 0.05 < painted.mean() < 0.65
    np.testing.assert_array_equal(drawn[painted], 0)
    # The mean, which is 0 in the network's units.
    np.testing.assert_array_equal(given[painted], 128)


def test_the_grid_has_what_is_given_what_comes_of_it_and_the_original() -> None:
    grid = restoration(enlarged, task="super_resolution", factor=4).draw()
    given, drawn, original = (grid[16:32, 48 + 16 * n : 64 + 16 * n] for n in range(3))
    np.testing.assert_array_equal(original, PICTURES[3])
    np.testing.assert_array_equal(given, drawn)
    np.testing.assert_array_equal(given[::4, ::4], np.asarray(Image.fromarray(original).reduce(4)))


def test_few_pictures_come_again() -> None:
    grid = restoration(enlarged, count=3, task="super_resolution", factor=4).draw()
    assert grid.shape == (8 * 16, 6 * 16, 3)
    np.testing.assert_array_equal(grid[16:32, 80:], PICTURES[0])
