"""The Node.js example writes Python's pictures to PNG files."""

from pathlib import Path

import numpy as np
import pytest
from example_programs import ExampleError, npm
from PIL import Image

from diffkiln.runtime import Sampler
from diffkiln.runtime.output.images import to_uint8

pytestmark = pytest.mark.slow


def sampled(bundle: Path, seed: int, count: int, steps: int, folder: Path) -> np.ndarray:
    """The pictures that the example writes, uint8 [count, height, width, channels]."""
    npm("node", "run", "sample", "--", str(bundle), *map(str, (seed, count, steps, folder)))
    files = [folder / f"{each}.png" for each in range(seed, seed + count)]
    assert sorted(folder.iterdir()) == sorted(files)
    return np.stack([np.asarray(Image.open(file)) for file in files])


@pytest.mark.parametrize(("count", "seed"), [(1, 2**63 - 1), (7, 2**32 - 3)])
@pytest.mark.parametrize("steps", [1, 5, 20])
def test_it_draws_the_samplers_pictures(
    tiny_bundle: Path, tmp_path: Path, count: int, seed: int, steps: int
) -> None:
    received = sampled(tiny_bundle, seed, count, steps, tmp_path / "pictures")
    expected = Sampler(tiny_bundle, device="cpu").sample(count, seed=seed, steps=steps)
    # One level of 255: another build of onnxruntime may add in another order.
    assert np.abs(received.astype(int) - expected).max() <= 1


def test_each_seed_shows_its_class(class_bundle: Path, tmp_path: Path) -> None:
    received = sampled(class_bundle, 2**32 - 3, 4, 5, tmp_path / "pictures")
    expected = Sampler(class_bundle, device="cpu").sample(4, seed=2**32 - 3, steps=5)
    assert np.abs(received.astype(int) - expected).max() <= 1


def test_float_images_become_levels(fresh_bundle: Path, tmp_path: Path) -> None:
    received = sampled(fresh_bundle, 3, 2, 4, tmp_path / "pictures")
    expected = to_uint8(Sampler(fresh_bundle, device="cpu").sample(2, seed=3, steps=4))
    assert np.abs(received.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("seed", "steps"), [(0, 0), (0, 1001), (-1, 5), (2**63 - 1, 5)])
def test_numbers_out_of_range_are_refused(
    tiny_bundle: Path, tmp_path: Path, seed: int, steps: int
) -> None:
    with pytest.raises(ExampleError, match=r"expected seeds from 0 to .* 1 to 1000 steps"):
        sampled(tiny_bundle, seed, 2, steps, tmp_path / "pictures")
    assert not (tmp_path / "pictures").exists()
