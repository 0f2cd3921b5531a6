"""Images that come in order are decoded once, into memory or into a file."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from diffkiln.trainer.data.cache import Images
from diffkiln.trainer.data.ordered import (
    Examples,
    OrderedImages,
    decode_all,
    without_copies,
)
from diffkiln.trainer.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8)
# Two of the nine are held out too.
HELD_OUT = np.concatenate([IMAGES[[2, 5]], 255 - IMAGES[:1]])
KEPT_NUMBERS = [0, 1, 3, 4, 6, 7, 8]
KEPT = IMAGES[KEPT_NUMBERS]


class Source:
    """Counts how often it was read."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.reads, self.breaks = 0, breaks

    def train(self) -> Examples:
        self.reads += 1
        yield from zip(IMAGES[:5], range(5), strict=True)
        if self.breaks:
            raise OSError("the disk was unplugged")
        yield from zip(IMAGES[5:], range(5, 9), strict=True)

    def held_out(self) -> Examples:
        yield from ((image, -1) for image in HELD_OUT)

    def images(self) -> OrderedImages:
        return OrderedImages("nine", (9, 3), self.train, self.held_out)


def all_of(images: Images) -> np.ndarray:
    return np.concatenate([*images.portions()])


def test_memory_and_disk_hold_the_same_without_copies(tmp_path: Path) -> None:
    source = Source()
    memory = decode_all(source.images(), (8, 8, 3), None)
    once = decode_all(source.images(), (8, 8, 3), tmp_path / "a-0")
    again = decode_all(source.images(), (8, 8, 3), tmp_path / "a-0")
    assert source.reads == 2
    pixels = KEPT.tobytes() + HELD_OUT.tobytes()
    for train, held_out, fingerprint in (memory, once, again):
        np.testing.assert_array_equal(all_of(train), KEPT)
        np.testing.assert_array_equal(all_of(held_out), HELD_OUT)
        assert train.labels.tolist() == KEPT_NUMBERS
        assert held_out.labels.tolist() == [-1, -1, -1]
        assert fingerprint == hashlib.sha256(pixels).hexdigest()


def test_an_unfinished_file_is_written_again(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="unplugged"):
        decode_all(Source(breaks=True).images(), (8, 8, 3), tmp_path / "a-0")
    assert not (tmp_path / "a-0.json").exists()
    train, _, _ = decode_all(Source().images(), (8, 8, 3), tmp_path / "a-0")
    np.testing.assert_array_equal(all_of(train), KEPT)


@pytest.mark.parametrize(
    "record",
    [
        "",
        "{}",
        '{"images": 7, "eval_images": 3, "fingerprint": ""}',
        '{"labels": [0, 1], "eval_labels": [-1, -1, -1], "fingerprint": ""}',
    ],
)
def test_a_record_that_does_not_fit_the_file_is_not_trusted(tmp_path: Path, record: str) -> None:
    decode_all(Source().images(), (8, 8, 3), tmp_path / "a-0")
    (tmp_path / "a-0.json").write_text(record)
    source = Source()
    train, _, _ = decode_all(source.images(), (8, 8, 3), tmp_path / "a-0")
    assert (source.reads, len(train)) == (1, 7)
    assert json.loads((tmp_path / "a-0.json").read_text())["labels"] == KEPT_NUMBERS


def test_a_damaged_image_is_refused(tmp_path: Path) -> None:
    decode_all(Source().images(), (8, 8, 3), tmp_path / "a-0")
    data = bytearray((tmp_path / "a-0.images").read_bytes())
    data[3] ^= 1
    (tmp_path / "a-0.images").write_bytes(data)
    train, _, _ = decode_all(Source().images(), (8, 8, 3), tmp_path / "a-0")
    np.testing.assert_array_equal(train.take(np.array([1])), KEPT[1:2])
    with pytest.raises(InputError, match="image 0 of the cache is damaged; remove the folder"):
        train.take(np.array([0]))


def test_copies_of_held_out_images_are_left_out() -> None:
    images, labels = zip(*without_copies(Source().train(), HELD_OUT), strict=True)
    np.testing.assert_array_equal(images, KEPT)
    assert [*labels] == KEPT_NUMBERS
