"""The synthetic flowers are reproducible, colourful, and stand in the middle."""

import numpy as np
from pictures import synthetic_flowers


def test_shape_and_dtype() -> None:
    images = synthetic_flowers(3, image_size=16, seed=0)
    assert images.shape == (3, 16, 16, 3)
    assert images.dtype == np.uint8


def test_more_images_keep_the_earlier_ones() -> None:
    few = synthetic_flowers(2, image_size=16, seed=5)
    many = synthetic_flowers(4, image_size=16, seed=5)
    np.testing.assert_array_equal(many[:2], few)


def test_all_images_and_seeds_differ() -> None:
    images = [*synthetic_flowers(20, image_size=8, seed=0)]
    images += [*synthetic_flowers(20, image_size=8, seed=1)]
    assert len({image.tobytes() for image in images}) == 40


def test_another_size_shows_the_same_flowers() -> None:
    small = synthetic_flowers(8, image_size=32, seed=3).astype(float)
    large = synthetic_flowers(8, image_size=64, seed=3).astype(float)
    shrunk = large.reshape(8, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    same, other = abs(small - shrunk).mean(), abs(small - np.roll(shrunk, 1, axis=0)).mean()
    # Fine lines come out differently: 1 level of 255, against 50 for two unlike flowers.
    assert same < 3 < 20 < other


def test_flowers_are_colourful() -> None:
    images = synthetic_flowers(32, image_size=16, seed=0).astype(float)
    saturation = 1 - images.min(axis=-1) / np.maximum(images.max(axis=-1), 1)
    # Greys have 0; of 400 flowers the mean is 0.34 and the palest, white ones, have 0.16.
    assert saturation.mean() > 0.3
    assert saturation.mean(axis=(1, 2)).min() > 0.1


def test_a_flower_stands_in_the_middle() -> None:
    images = synthetic_flowers(32, image_size=24, seed=0).astype(float)
    middle = images[:, 8:16, 8:16].mean(axis=(1, 2))
    border = np.concatenate([images[:, :3], images[:, -3:]], axis=1).mean(axis=(1, 2))
    # In levels of 255: of 400 flowers, the one most like its background differs by 32.
    assert abs(middle - border).max(axis=-1).min() > 20


def test_petals_use_the_whole_range() -> None:
    images = synthetic_flowers(16, image_size=32, seed=0)
    assert images.max() > 240
    assert images.min() < 30
