"""Which images a step gets."""

from pathlib import Path

import numpy as np
import pytest

from diffkiln.trainer.config import TrainConfig, preset_config
from diffkiln.trainer.data import ImageData, batches, load_images, without_copies
from diffkiln.trainer.errors import InputError

CONFIG = preset_config("tiny", image_size=8, batch_size=4)


def numbered(count: int) -> np.ndarray:
    """Images [count, 8, 8, 3] of one level each, its number; a brighter column tells a flip."""
    images = (
        np.zeros((count, 8, 8, 3), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None, None]
    )
    images[:, :, 0] += 100
    return images


def served(
    count: int, steps: int, *, first_step: int = 0, config: TrainConfig = CONFIG
) -> np.ndarray:
    data = batches(numbered(count), config, first_step=first_step).take(steps)
    return np.stack([batch.numpy() for batch in data])


def numbers(images: np.ndarray) -> np.ndarray:
    return images[..., 0, 4, 0].ravel()


def test_an_epoch_serves_every_image_once() -> None:
    assert sorted(numbers(served(40, 10))) == list(range(40))


def test_epochs_that_do_not_divide_leave_nothing_out() -> None:
    order = numbers(served(7, 7))
    assert all(sorted(order[epoch * 7 : epoch * 7 + 7]) == list(range(7)) for epoch in range(4))


def test_epochs_differ_in_order() -> None:
    order = numbers(served(40, 20))
    assert order[:40].tolist() != order[40:].tolist()


def test_a_resumed_run_sees_what_it_would_have_seen() -> None:
    np.testing.assert_array_equal(served(10, 9)[5:], served(10, 4, first_step=5))


def test_seeds_differ() -> None:
    other = preset_config("tiny", image_size=8, batch_size=4, seed=1)
    assert numbers(served(40, 10)).tolist() != numbers(served(40, 10, config=other)).tolist()


def test_about_half_of_the_images_are_flipped() -> None:
    images = served(40, 100).reshape(-1, 8, 8, 3)
    flipped = images[:, 0, 7, 0] > images[:, 0, 0, 0]
    # 400 fair coins: 5 standard deviations are 50.
    assert 150 < flipped.sum() < 250


def test_summary_measures_the_training_pixels() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, 8, 8, 3), np.uint8)
    summary = ImageData(images, images[:0]).summary()
    np.testing.assert_allclose(summary.pixel_mean, (images / 255).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(summary.pixel_std, (images / 255).std(axis=(0, 1, 2)))


def test_fingerprint_tells_data_apart() -> None:
    data, other = ImageData(numbered(4), numbered(0)), ImageData(numbered(5)[1:], numbered(0))
    assert data.summary().fingerprint != other.summary().fingerprint


def test_flat_colour_is_refused() -> None:
    flat = np.full((4, 8, 8, 3), 7, np.uint8)
    with pytest.raises(InputError, match="expected pictures that differ from one flat colour"):
        ImageData(flat, flat[:0]).summary()


def test_copies_of_held_out_images_are_left_out() -> None:
    kept = without_copies(numbered(6), numbered(6)[[1, 4]])
    assert numbers(kept).tolist() == [0, 2, 3, 5]


def test_splits_that_are_the_same_leave_nothing_to_train_on(flowers_dir: Path) -> None:
    splits = {"split": "validation[:20]", "eval_split": "validation[:20]"}
    config = preset_config(
        "tiny", data="tfds:oxford_flowers102", data_dir=str(flowers_dir), **splits
    )
    with pytest.raises(InputError, match="no image is left to train on"):
        load_images(config)


def test_synthetic_evaluation_is_held_out() -> None:
    data = load_images(preset_config("tiny", image_size=8))
    assert len(without_copies(data.evaluation, data.train)) == len(data.evaluation) == 256
