"""What a cache gives back is what was written to it, whole, or nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diffkiln.trainer.data.cache import (
    Cache,
    DiskCache,
    MemoryCache,
    chosen_cache,
    machine_memory_bytes,
)
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.presets import preset_config

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
RECORD_BYTES = 8 * 8 * 3 + 5


def read(cache: Cache, *indices: int) -> list[np.ndarray | None]:
    images = np.zeros((len(indices), 8, 8, 3), np.uint8)
    cached = cache.read(np.array(indices), images)
    return [image if hit else None for image, hit in zip(images, cached, strict=True)]


def in_memory(_: Path) -> Cache:
    return MemoryCache(5, IMAGES.shape[1:])


def on_disk(folder: Path) -> Cache:
    return DiskCache(folder / "deep" / "a.images", IMAGES.shape[1:])


@pytest.mark.parametrize("make", [in_memory, on_disk])
def test_what_was_written_is_there_and_nothing_else(
    make: Callable[[Path], Cache], tmp_path: Path
) -> None:
    cache = make(tmp_path)
    assert read(cache, 0, 3) == [None, None]
    cache.write(3, IMAGES[3])
    cache.write(1, IMAGES[1][::-1])  # not contiguous
    first, third, hole, last = read(cache, 1, 3, 2, 4)
    np.testing.assert_array_equal(first, IMAGES[1][::-1])
    np.testing.assert_array_equal(third, IMAGES[3])
    assert hole is None
    assert last is None


def test_a_file_is_used_again(tmp_path: Path) -> None:
    on_disk(tmp_path).write(2, IMAGES[2])
    np.testing.assert_array_equal(read(on_disk(tmp_path), 2)[0], IMAGES[2])


def test_a_black_image_is_told_from_a_hole(tmp_path: Path) -> None:
    cache = on_disk(tmp_path)
    cache.write(1, np.zeros((8, 8, 3), np.uint8))
    hole, black = read(cache, 0, 1)
    assert hole is None
    assert black is not None


@pytest.mark.parametrize("whole_bytes", range(0, RECORD_BYTES, 7))
def test_a_record_cut_short_is_missing(tmp_path: Path, whole_bytes: int) -> None:
    cache = DiskCache(tmp_path / "a.images", IMAGES.shape[1:])
    cache.write(0, IMAGES[0])
    data = cache.path.read_bytes()
    cache.path.write_bytes(data[:whole_bytes])
    assert read(cache, 0) == [None]
    cache.path.write_bytes(data[:whole_bytes] + bytes(RECORD_BYTES - whole_bytes))
    assert read(cache, 0) == [None]


def test_a_record_with_a_wrong_pixel_is_missing(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "a.images", IMAGES.shape[1:])
    cache.write(0, IMAGES[0])
    data = bytearray(cache.path.read_bytes())
    data[50] ^= 1
    cache.path.write_bytes(data)
    assert read(cache, 0) == [None]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line() -> None:
    cache = DiskCache(Path("/dev/full"), IMAGES.shape[1:])
    with pytest.raises(InputError, match=r"/dev/full: .* could not be written \(No space left on"):
        cache.write(0, IMAGES[0])


def test_a_place_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("a file")
    with pytest.raises(InputError, match=r"a\.images: .* written \((File exists|Not a directory)"):
        on_disk(tmp_path)


def test_a_file_that_is_gone_is_one_line(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "a.images", IMAGES.shape[1:])
    cache.path.unlink()
    with pytest.raises(InputError, match=r"a\.images: .* could not be read \(No such file"):
        read(cache, 0)


def test_memory_is_chosen_while_the_images_take_a_quarter_of_it() -> None:
    config = preset_config("tiny")
    fit = machine_memory_bytes() // 4 // (32 * 32 * 3)
    assert chosen_cache(config, fit) == "memory"
    assert chosen_cache(config, fit + 1) == "disk"
    assert chosen_cache(preset_config("tiny", cache="disk"), 1) == "disk"
    assert 2**28 < machine_memory_bytes() < 2**50


def test_a_system_that_does_not_tell_its_memory_counts_as_a_usual_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr("os.sysconf", raising=False)
    assert 2**28 < machine_memory_bytes() <= 8 * 2**30
