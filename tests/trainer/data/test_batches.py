"""Which images a step gets."""

import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from pictures import picture, save_linked, save_pictures

from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.data.augment import unchanged
from diffkiln.trainer.data.batches import batches
from diffkiln.trainer.data.cache import Images
from diffkiln.trainer.data.folder import Pictures, list_folder
from diffkiln.trainer.data.load import ImageData, load_images, planned_cache
from diffkiln.trainer.data.ordered import without_copies
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.presets import preset_config

CONFIG = preset_config("tiny", image_size=8, batch_size=4)


def numbered(count: int) -> np.ndarray:
    """Images [count, 8, 8, 3] of one level each, its number; a brighter column tells a flip."""
    images = (
        np.zeros((count, 8, 8, 3), np.uint8) + np.arange(count, dtype=np.uint8)[:, None, None, None]
    )
    images[:, :, 0] += 100
    return images


def images_of(pixels: np.ndarray) -> Images:
    return Images(len(pixels), pixels.shape[1:], cache=None, decode=lambda index: pixels[index])


def served(
    count: int, steps: int, *, first_step: int = 0, config: TrainConfig = CONFIG
) -> np.ndarray:
    data = islice(batches(images_of(numbered(count)), config, first_step=first_step), steps)
    return np.stack([batch.numpy() for batch, _ in data])


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


def test_letters_need_not_be_mirrored() -> None:
    images = served(40, 10, config=replace(CONFIG, augment="none")).reshape(-1, 8, 8, 3)
    assert (images[:, 0, 0, 0] > images[:, 0, 7, 0]).all()


@pytest.mark.parametrize("augment", ["crop", "crop+flip"])
def test_crops_are_parts_of_the_pictures(augment: str) -> None:
    config = replace(CONFIG, augment=augment)
    side = config.stored_shape[0]
    ramp = np.broadcast_to(np.arange(side, dtype=np.uint8) * 20, (5, side, side))
    pictures = np.stack([ramp, ramp.transpose(0, 2, 1), ramp], axis=-1)
    data = batches(images_of(pictures), config, first_step=0)
    images = np.concatenate([batch.numpy() for batch, _ in islice(data, 50)]).astype(int)
    np.testing.assert_array_equal(images[..., 0], images[..., 2])
    across, down = images[:, 4, :, 0], images[:, :, 4, 1]
    mirrored = across[:, 0] > across[:, -1]
    assert mirrored.any() == ("flip" in augment)
    across[mirrored] = across[mirrored, ::-1]
    # The slope is the size of the crop, 3/4 to 1 of the picture; levels are rounded.
    slopes = (across[:, 6] - across[:, 1]) / 5 / (20 * side / 8)
    assert slopes.min() > 0.73
    assert slopes.max() < 1.02
    np.testing.assert_allclose(slopes, (down[:, 6] - down[:, 1]) / 5 / (20 * side / 8), atol=0.03)
    assert np.ptp(slopes) > 0.2
    assert np.ptp(across[:, 0]) > 20
    assert np.ptp(down[:, 0]) > 20


def test_crops_of_a_picture_size_are_windows_with_its_own_pixels() -> None:
    config = replace(CONFIG, augment="crop", picture_size=20)
    # A pixel's red is its column, and its green its row.
    across = np.broadcast_to(np.arange(20, dtype=np.uint8), (5, 20, 20))
    pictures = np.stack([across, across.transpose(0, 2, 1), across], axis=-1)
    data = batches(images_of(pictures), config, first_step=0)
    images = np.concatenate([batch.numpy() for batch, _ in islice(data, 50)]).astype(int)
    lefts, tops = images[:, 0, 0, 0], images[:, 0, 0, 1]
    np.testing.assert_array_equal(
        images[..., 0] - lefts[:, None, None], np.tile(range(8), (200, 8, 1))
    )
    np.testing.assert_array_equal(images[:, :, 0, 1] - tops[:, None], np.tile(range(8), (200, 1)))
    # Two hundred windows at thirteen places.
    assert set(lefts) == set(tops) == set(range(13))
    assert np.any(lefts != tops)


def test_held_out_pictures_of_a_picture_size_are_windows_in_their_centre() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), np.uint8)
    config = replace(CONFIG, augment="crop", picture_size=20)
    np.testing.assert_array_equal(unchanged(pictures, config), pictures[:, 6:14, 6:14])
    assert unchanged(pictures, CONFIG).shape == (2, 8, 8, 3)


def test_summary_measures_the_training_pixels() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, 8, 8, 3), np.uint8)
    summary = ImageData(images_of(images), images_of(images[:0]), "").summary()
    np.testing.assert_allclose(summary.pixel_mean, (images / 255).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(summary.pixel_std, (images / 255).std(axis=(0, 1, 2)))


def test_a_channel_may_be_empty() -> None:
    images = numbered(20)
    images[..., 1] = 7
    summary = ImageData(images_of(images), images_of(images[:0]), "").summary()
    assert summary.pixel_mean[1] == pytest.approx(7 / 255)
    assert summary.pixel_std[1] == 1 / 255
    assert summary.pixel_std[0] == pytest.approx(images[..., 0].std() / 255)


def test_flat_colour_is_refused() -> None:
    flat = np.full((4, 8, 8, 3), 7, np.uint8)
    with pytest.raises(InputError, match="expected pictures that differ from one flat colour"):
        ImageData(images_of(flat), images_of(flat[:0]), "").summary()


def test_splits_that_are_the_same_leave_nothing_to_train_on(flowers_dir: Path) -> None:
    splits = {"split": "validation[:20]", "eval_split": "validation[:20]"}
    config = preset_config(
        "tiny", data="tfds:oxford_flowers102", data_dir=str(flowers_dir), **splits
    )
    with pytest.raises(InputError, match="no image is left to train on"):
        load_images(config)


def test_synthetic_evaluation_is_held_out() -> None:
    data = load_images(preset_config("tiny", image_size=8, data="synthetic:20"))
    (train,) = data.train.portions()
    assert len(train) == 20
    evaluation, labels = data.evaluation
    kept = [*without_copies(zip(evaluation, labels.tolist(), strict=True), train)]
    assert len(kept) == len(evaluation) == len(data.held_out) == 2


def test_synthetic_has_2048_flowers_and_an_eighth_more_held_out() -> None:
    config = preset_config("tiny", image_size=8, data="synthetic")
    assert "of 2,304 images in 0 MB" in planned_cache(config)


@pytest.mark.parametrize(("batch_size", "count"), [(4, 1), (4, 2), (6, 3), (5, 2), (4, 4)])
def test_shards_are_the_rows_of_the_whole_batch(batch_size: int, count: int) -> None:
    config = preset_config("tiny", image_size=8, batch_size=batch_size)

    def rows(shard: tuple[int, int]) -> np.ndarray:
        steps = islice(batches(images_of(numbered(7)), config, first_step=3, shard=shard), 9)
        return np.stack([batch.numpy() for batch, _ in steps])

    parts = [rows((index, count)) for index in range(count)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), rows((0, 1)))


def test_a_shard_decodes_its_own_rows_alone() -> None:
    decoded: set[int] = set()

    def decode(index: int) -> np.ndarray:
        decoded.add(index)
        return numbered(100)[index]

    images = Images(100, (8, 8, 3), cache=None, decode=decode)
    config = preset_config("tiny", image_size=8, batch_size=10)
    steps = [*islice(batches(images, config, first_step=0, shard=(1, 2)), 2)]
    served = set(np.concatenate([numbers(batch.numpy()) for batch, _ in steps]).tolist())
    # Two batches that were served and six ahead of them, of 5 images each.
    assert served <= decoded
    assert len(decoded) <= (2 + 6) * 5


def folder_batches(
    folder: Path, cache: str, place: Path, *, threads: int | None = None, first_step: int = 0
) -> np.ndarray:
    config = preset_config("tiny", image_size=8, batch_size=4, data=f"folder:{folder}", cache=cache)
    images = load_images(config, cache_dir=place).train
    if threads:
        pictures = Pictures(list_folder(folder), 8)
        images = Images(len(images), (8, 8, 3), cache=None, decode=pictures.read, threads=threads)
    steps = islice(batches(images, config, first_step=first_step), 12 - first_step)
    return np.stack([batch.numpy() for batch, _ in steps])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Fourteen pictures, two of which cannot be read."""
    save_pictures(tmp_path / "photos", 14, size=20)
    for number in (0, 6):
        (tmp_path / "photos" / f"{number:05}.png").write_bytes(b"broken")
    return tmp_path / "photos"


def test_every_cache_and_number_of_threads_serve_the_same(photos: Path, tmp_path: Path) -> None:
    expected = folder_batches(photos, "none", tmp_path / "cache", threads=1)
    for cache in ("memory", "disk", "none", "disk"):
        np.testing.assert_array_equal(folder_batches(photos, cache, tmp_path / "cache"), expected)
        later = folder_batches(photos, cache, tmp_path / "cache", first_step=5)
        np.testing.assert_array_equal(later, expected[5:])
    many = folder_batches(photos, "none", tmp_path / "cache", threads=7)
    np.testing.assert_array_equal(many, expected)


def test_a_picture_that_changed_is_read_again(photos: Path, tmp_path: Path) -> None:
    before = folder_batches(photos, "disk", tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    for number in (1, 2):  # two of one size: the fingerprint stays the same
        picture(100, 20).save(photos / f"{number:05}.png")
    after = folder_batches(photos, "disk", tmp_path / "cache")
    assert not np.array_equal(before, after)
    np.testing.assert_array_equal(after, folder_batches(photos, "none", tmp_path / "cache"))
    assert not kept.exists()


def test_workers_have_files_of_their_own(photos: Path, tmp_path: Path) -> None:
    config = preset_config("tiny", image_size=8, data=f"folder:{photos}", cache="disk")
    for worker in (0, 1, 0):
        load_images(config, cache_dir=tmp_path / "cache", worker=worker)
    ends = sorted(path.name.split("-")[1] for path in (tmp_path / "cache").iterdir())
    assert ends == ["0.images", "1.images"]


def test_statistics_of_a_folder_come_from_a_sample_that_the_seed_chooses(tmp_path: Path) -> None:
    save_linked(tmp_path / "photos", 1200, size=8)
    sample, again, other = (
        load_images(
            preset_config("tiny", image_size=8, data=f"folder:{tmp_path}/photos", seed=seed)
        ).sample
        for seed in (0, 0, 1)
    )
    assert sample is not None
    assert other is not None
    assert len(set(sample.tolist())) == 1024
    np.testing.assert_array_equal(sample, again)
    assert not np.array_equal(sample, other)


def test_images_that_cannot_be_decoded_say_why(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 2, size=8)
    config = preset_config("tiny", image_size=8, data=f"folder:{tmp_path}/photos", cache="none")
    images = load_images(config).train
    for path in (tmp_path / "photos").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="2 pictures and none can be read"):
        next(batches(images, config, first_step=0))


# A traceback that is kept, as one of a defect is, keeps all the loop had; and decoding goes on.
LEFT_OPEN = """
import sys
from diffkiln.trainer.presets import preset_config
from diffkiln.trainer.data.augment import unchanged
from diffkiln.trainer.data.batches import batches
from diffkiln.trainer.data.load import load_images

config = preset_config("tiny", image_size=8, data=f"folder:{sys.argv[1]}", cache="none")
data = batches(load_images(config).train, config, first_step=0)
for _ in range(5):
    next(data)
raise RuntimeError("a defect")
"""


@pytest.mark.slow
def test_a_process_ends_while_batches_are_made(tmp_path: Path) -> None:
    save_linked(tmp_path / "photos", 8, size=1024)
    result = subprocess.run(
        [sys.executable, "-c", LEFT_OPEN, tmp_path / "photos"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.endswith("RuntimeError: a defect\n"), result.stderr
