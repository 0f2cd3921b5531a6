"""Dynamic thresholding against NumPy's quantile."""

import numpy as np
import pytest
import tensorflow as tf

from diffkiln.trainer.maths.diffusion import Denoiser, add_noise
from diffkiln.trainer.maths.schedules import CosineSchedule
from diffkiln.trainer.maths.thresholding import dynamic_threshold, quantile

VALUES = np.random.default_rng(0).normal(size=(3, 5, 4, 2)).astype(np.float32)


@pytest.mark.parametrize("share", [0.5, 0.75, 0.9, 0.995, 1.0, 36 / 39])
def test_the_quantile_is_numpys(share: float) -> None:
    expected = np.quantile(VALUES.reshape(3, -1), share, axis=1)
    np.testing.assert_allclose(
        quantile(tf.constant(VALUES), share)[:, 0, 0, 0], expected, rtol=1e-6
    )


def test_an_image_within_the_range_stays_and_others_are_scaled_into_it() -> None:
    image = (
        VALUES / np.abs(VALUES).max(axis=(1, 2, 3), keepdims=True) * [[[[0.9]]], [[[2]]], [[[5]]]]
    )
    found = dynamic_threshold(tf.constant(image, tf.float32), 1.0).numpy()
    np.testing.assert_allclose(found, image / [[[[1]]], [[[2]]], [[[5]]]], atol=1e-6)
    found = dynamic_threshold(tf.constant(image, tf.float32), 0.9).numpy()
    assert np.abs(found).max(axis=(1, 2, 3)).tolist() == pytest.approx([0.9, 1, 1])


def test_the_equation_stays_true_in_the_units_of_the_model() -> None:
    pixels = (0.4, 0.3), (0.3, 0.2)
    denoiser = Denoiser(
        lambda x: 9 * x[0], CosineSchedule(), "image", *pixels, dynamic_threshold=0.9
    )
    image, noise = denoiser(tf.constant(VALUES), tf.fill([3], 0.5))
    found = image.numpy() * pixels[1] + pixels[0]
    assert (found.min(), found.max()) == pytest.approx((0, 1), abs=1e-6)
    rates = CosineSchedule().rates(tf.constant(0.5))
    np.testing.assert_allclose(add_noise(image, noise, rates), VALUES, atol=1e-5)
