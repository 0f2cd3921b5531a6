"""Small pictures and the noise that is added to them."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from diffkiln.trainer.conditions.small import augmented, reduced


@pytest.mark.parametrize("factor", range(2, 9))
def test_areas_are_averaged_and_rounded(factor: int) -> None:
    # All levels, with ties to round.
    pictures = np.random.default_rng(factor).integers(0, 256, (4, 8 * factor, 8 * factor, 3))
    small = reduced(tf.constant(pictures, tf.uint8), factor)
    sums = pictures.reshape(4, 8, factor, 8, factor, 3).sum(axis=(2, 4))
    np.testing.assert_array_equal(small, (2 * sums + factor**2) // (2 * factor**2))
    of_pillow = [Image.fromarray(each).reduce(factor) for each in pictures.astype(np.uint8)]
    # Pillow multiplies by a reciprocal that is rounded down, where the area is no power of 2.
    np.testing.assert_allclose(small, np.stack(list(map(np.asarray, of_pillow))), atol=1)


@pytest.mark.parametrize("level", [0.0, 0.6, 1.0])
def test_noise_keeps_the_variance(level: float) -> None:
    picture, noise = tf.constant([[[[3.0]]]]), tf.constant([[[[-1.0]]]])
    expected = np.sqrt(1 - level**2) * 3 - level
    np.testing.assert_allclose(
        augmented(picture, noise, tf.constant([level])), [[[[expected]]]], rtol=1e-6
    )
