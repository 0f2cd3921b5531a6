"""Random masks."""

import numpy as np
import tensorflow as tf

from diffkiln.trainer.conditions.masks import random_masks

SEED = tf.constant([1, 2], tf.int64)


def test_masks_cover_10_to_60_percent() -> None:
    masks = random_masks(500, 32, SEED).numpy()
    assert masks.shape == (500, 32, 32, 1)
    assert set(masks.flat) == {0.0, 1.0}
    shares = masks.mean(axis=(1, 2, 3))
    # Pixels at the same distance as the last one are left out: at most a row or so.
    assert 0.1 - 2 / 32 < shares.min() < 0.12
    assert 0.55 < shares.max() <= 0.6


def test_strokes_and_rectangles_are_as_frequent() -> None:
    masks = random_masks(200, 32, SEED).numpy()[..., 0]
    # The border of a rectangle runs along the pixels; in a stroke's, most corners are cut.
    corners = np.abs(np.diff(np.diff(masks, axis=1), axis=2)).sum(axis=(1, 2))
    assert 0.3 < np.mean(corners > 12) < 0.7


def test_masks_follow_from_the_seed_alone() -> None:
    masks = random_masks(8, 16, SEED).numpy()
    np.testing.assert_array_equal(masks, random_masks(8, 16, SEED))
    assert np.all(np.any(masks != random_masks(8, 16, SEED + 1), axis=(1, 2, 3)))
