"""The Node.js example writes Python's pictures to PNG files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_programs import ExampleError, npm
from given_conditions import of, saved
from PIL import Image

from diffkiln.runtime import Sampler
from diffkiln.runtime.output.images import to_uint8

pytestmark = pytest.mark.slow


def sampled(
    bundle: Path, seed: int, count: int, steps: int, folder: Path, *conditions: str
) -> np.ndarray:
    """The pictures that the example writes, uint8 [count, height, width, channels]."""
    numbers = map(str, (seed, count, steps, folder))
    npm("node", "run", "sample", "--", str(bundle), *numbers, *conditions)
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


def test_conditions_are_files_or_numbers(conditions_bundle: Path, tmp_path: Path) -> None:
    def require(conditions: dict[str, Any], *texts: str) -> None:
        received = sampled(conditions_bundle, 5, 3, 4, tmp_path / "pictures", *texts)
        with Sampler(conditions_bundle, device="cpu") as sampler:
            expected = sampler.sample(3, seed=5, steps=4, conditions=conditions)
        assert np.abs(received.astype(int) - expected).max() <= 1

    require(of([0, 1, 2]), *saved(tmp_path, of([0, 1, 2])))
    numbers = {"text": [[1, 2, 3], [4, 5, -0.5]], "age": 4, "sketch": of(3)["sketch"]}
    _, _, sketch = saved(tmp_path, of(3))
    require(numbers, "text=1,2,3,4,5,-.5", "age=4", sketch)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("age=", r"expected age=VALUE, int64 \[\] or \[3\]"),
        ("age=1,2,3", r"expected age=VALUE"),
        ("text=a,b,c,d,e,f", r"expected text=VALUE, float32 \[2,3\] or \[3,2,3\] two words, as"),
        ("sketch={text}", r"expected sketch=VALUE, uint8 \[6,10,1\]"),
        ("sketch=1", r"expected sketch=VALUE"),
        ("age=2", "expects_age_from_3_to_9"),
    ],
)
def test_wrong_conditions_are_refused(
    conditions_bundle: Path, tmp_path: Path, changed: str, expected: str
) -> None:
    given = [*saved(tmp_path, of([0, 1, 2])), changed.format(text=tmp_path / "text.npy")]
    with pytest.raises(ExampleError, match=expected):
        sampled(conditions_bundle, 5, 3, 4, tmp_path / "pictures", *given)
    assert not (tmp_path / "pictures").exists()


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
