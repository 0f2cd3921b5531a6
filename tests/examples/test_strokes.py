"""The strokes: data that are the same for a seed, whose pen draws two lines, and their picture."""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from example_programs import EXAMPLES, start

pytestmark = pytest.mark.slow

FOLDER = EXAMPLES / "strokes"
LINES = ".//{http://www.w3.org/2000/svg}polyline"


def made(folder: Path, *arguments: object) -> dict[str, np.ndarray]:
    """The arrays of the file that the program writes to an empty folder."""
    start([sys.executable, FOLDER / "strokes.py", *arguments], folder=folder)
    (file,) = folder.iterdir()
    with np.load(file) as arrays:
        return dict(arrays)


def test_the_data_are_as_many_of_each_class(tmp_path: Path) -> None:
    arrays = made(tmp_path)
    samples, labels = arrays["samples"], arrays["labels"]
    assert (samples.shape, samples.dtype, labels.dtype) == ((4096, 64, 3), np.float32, np.int64)
    assert list(arrays["class_names"]) == ["loops", "spirals", "zigzags", "stars"]
    assert list(np.bincount(labels)) == [1024] * 4
    assert np.abs(samples[..., :2]).max() < 40  # millimetres
    # The pen is lifted once, and put down once.
    assert (np.abs(np.diff(samples[..., 2])).sum(axis=1) == 2).all()


def test_a_seed_makes_the_same_data(tmp_path: Path) -> None:
    samples = []
    for number, seed in enumerate((5, 5, 6)):
        (folder := tmp_path / str(number)).mkdir()
        samples.append(made(folder, "few.npz", 8, seed)["samples"])
    assert np.array_equal(samples[0], samples[1])
    assert not np.array_equal(samples[0], samples[2])


@pytest.mark.parametrize("ending", [".npz", ".npy"])
def test_the_picture_has_a_line_between_lifts(tmp_path: Path, ending: str) -> None:
    samples = made(tmp_path, "few.npz", 9, 0)["samples"]
    samples[0, :, 2] = 0.4  # never down
    samples[1, :, 2] = 0.6  # never up
    file, picture = tmp_path / f"some{ending}", tmp_path / "some.svg"
    if ending == ".npz":
        np.savez(file, samples=samples)
    else:
        np.save(file, samples)
    start([sys.executable, FOLDER / "draw.py", file, picture])
    lines = ElementTree.parse(picture).findall(LINES)
    assert len(lines) == 0 + 1 + 7 * 2
    assert [len(line.attrib["points"].split()) for line in lines[:3]] == [64, 26, 26]
