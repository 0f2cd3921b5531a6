"""The C++ example builds, and draws the Sampler's pictures."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from example_programs import cpp_program
from needed_programs import required_program
from PIL import Image

from diffkiln.runtime import Sampler

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program() -> Path:
    for name in ("cmake", "c++"):
        required_program(name)
    return cpp_program()


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "seed", "count", "steps"),
    [("saved_bundle", 0, 1, 1), ("saved_bundle", 2**32 - 3, 7, 5), ("saved_class_bundle", 8, 4, 5)],
)
def test_it_draws_the_samplers_pictures(
    request: pytest.FixtureRequest,
    program: Path,
    tmp_path: Path,
    name: str,
    seed: int,
    count: int,
    steps: int,
) -> None:
    bundle, out = request.getfixturevalue(name), tmp_path / "flowers.ppm"
    done = run(program, bundle, out, seed, count, steps)
    assert done.returncode == 0, done.stderr
    images = Sampler(bundle, device="cpu").sample(count, seed=seed, steps=steps)
    # One level of 255: TensorFlow adds in another order.
    received = np.asarray(Image.open(out)).astype(int)
    assert np.abs(received - np.vstack(list(images))).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "usage: sample BUNDLE OUT.ppm"),
        (["no.bundle", "x.ppm"], 1, "sample: no.bundle/bundle.json is missing or is not JSON"),
        (["b", "x.ppm", "-1"], 1, "FIRST_SEED=-1: expected a whole number from 0"),
        (["b", "x.ppm", "0", "two"], 1, "COUNT=two: expected a whole number from 1 to 4096"),
        (["b", "x.ppm", "0", "2", "0"], 1, "STEPS=0: expected a whole number from 1 to 1000"),
    ],
)
def test_wrong_arguments_are_refused(
    program: Path, arguments: list[str], status: int, message: str
) -> None:
    done = run(program, *arguments)
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr


def test_conditions_are_refused(program: Path, conditions_bundle: Path, tmp_path: Path) -> None:
    done = run(program, conditions_bundle, tmp_path / "flowers.ppm")
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert "the model takes conditions, which this program cannot give" in done.stderr
