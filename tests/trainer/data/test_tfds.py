"""What is left of a download that failed, and real flowers."""

from pathlib import Path

import numpy as np

from diffkiln.trainer.data.load import load_images
from diffkiln.trainer.data.tfds import clear_partial_download
from diffkiln.trainer.presets import preset_config


def test_a_failed_download_keeps_whole_files_and_what_was_there(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    mine = data_dir / "downloads" / "backup.tmp.2024"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("keep me")
    before = {data_dir, *data_dir.rglob("*")}
    half = data_dir / "downloads" / "set" / "a.gz.tmp.123" / "a.gz"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    whole = data_dir / "downloads" / "set" / "b.gz"
    whole.write_bytes(b"whole")
    (data_dir / "set" / "1.0.0").mkdir(parents=True)
    clear_partial_download(data_dir / "set", before)
    files = {path for path in data_dir.rglob("*") if path.is_file()}
    assert files == {mine / "thesis.txt", whole}
    assert not (data_dir / "set").exists()


def test_a_failed_first_download_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "data" / "downloads" / "set").mkdir(parents=True)
    clear_partial_download(tmp_path / "data" / "set", set())
    assert not (tmp_path / "data").exists()


def test_flowers_on_disk_are_those_in_memory(flowers_dir: Path, tmp_path: Path) -> None:
    splits = {"split": "train[:70]+validation[:9]", "eval_split": "validation[:20]"}
    place = {"data": "tfds:oxford_flowers102", "data_dir": str(flowers_dir)}
    memory, once, again = (
        load_images(
            preset_config("tiny", image_size=16, cache=cache, **place, **splits), cache_dir=tmp_path
        )
        for cache in ("memory", "disk", "disk")
    )
    assert memory.summary().images == 70
    for other in (once, again):
        assert other.summary() == memory.summary()
        np.testing.assert_array_equal(
            other.train.take(np.arange(70)), memory.train.take(np.arange(70))
        )
        for received, expected in zip(other.evaluation, memory.evaluation, strict=True):
            np.testing.assert_array_equal(received, expected)
    assert len(list(tmp_path.iterdir())) == 3


def test_real_flowers_are_pictures(flowers_dir: Path) -> None:
    data = load_images(
        preset_config("flowers64", data="tfds:oxford_flowers102", data_dir=str(flowers_dir))
    )
    summary = data.summary()
    assert (summary.images, summary.eval_images) == (7167, 1020)
    # Photographs of flowers: more red than blue, and neither dark nor washed out.
    red, _, blue = summary.pixel_mean
    assert 0.25 < blue < red < 0.6
    assert np.all(np.array(summary.pixel_std) > 0.15)
