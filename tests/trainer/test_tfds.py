"""What is left of a download that failed, and real flowers."""

from pathlib import Path

import numpy as np

from diffkiln.trainer.config import preset_config
from diffkiln.trainer.data import load_images
from diffkiln.trainer.tfds import _clear_partial_downloads


def test_a_failed_download_keeps_only_whole_files(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    (data_dir / "downloads" / "set" / "a.gz.tmp.123").mkdir(parents=True)
    (data_dir / "downloads" / "set" / "a.gz.tmp.123" / "a.gz").write_bytes(b"half")
    (data_dir / "set").mkdir()
    whole = data_dir / "downloads" / "set" / "b.gz"
    whole.write_bytes(b"whole")
    _clear_partial_downloads(data_dir)
    assert [path for path in data_dir.rglob("*") if path.is_file()] == [whole]
    whole.unlink()
    _clear_partial_downloads(data_dir)
    assert not data_dir.exists()


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
