"""The C# example builds, and draws the Sampler's pictures."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_programs import MissingProgramError, csharp_program
from given_conditions import of, saved
from PIL import Image

from diffkiln.runtime import Sampler

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program() -> list[str]:
    try:
        return csharp_program()
    except MissingProgramError as error:
        pytest.skip(str(error))  # in CI too, since the build needs NuGet


def run(program: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "seed", "count", "steps"),
    [("tiny_bundle", 2**63 - 1, 1, 1), ("tiny_bundle", 2**32 - 3, 7, 5), ("class_bundle", 8, 4, 5)],
)
def test_it_draws_the_samplers_pictures(
    program: list[str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    name: str,
    seed: int,
    count: int,
    steps: int,
) -> None:
    bundle, out = request.getfixturevalue(name), tmp_path / "flowers.bmp"
    done = run(program, bundle, out, seed, count, steps)
    assert done.returncode == 0, done.stderr
    images = Sampler(bundle, device="cpu").sample(count, seed=seed, steps=steps)
    # One level of 255: another build of onnxruntime may add in another order.
    received = np.asarray(Image.open(out)).astype(int)
    assert np.abs(received - np.vstack(list(images))).max() <= 1


def test_conditions_are_files(
    program: list[str], conditions_bundle: Path, sketches_bundle: Path, tmp_path: Path
) -> None:
    given = of([0, 1, 2]) | {"sketch": of(3)["sketch"]}
    sampled: list[tuple[Path, dict[str, Any]]] = [(conditions_bundle, given), (sketches_bundle, {})]
    for bundle, conditions in sampled:
        out = tmp_path / f"{bundle.stem}.bmp"
        done = run(program, bundle, out, 5, 3, 4, *saved(tmp_path, conditions))
        assert done.returncode == 0, done.stderr
        with Sampler(bundle, device="cpu") as sampler:
            images = sampler.sample(3, seed=5, steps=4, conditions=conditions)
        received = np.asarray(Image.open(out)).astype(int)
        assert np.abs(received - np.vstack(list(images))).max() <= 1
    wrong = ["age", "text", "sketch"]
    texts = [f"{name}={tmp_path / other}.npy" for name, other in zip(given, wrong, strict=True)]
    for others, message in ((texts, "age.npy: expected an array of <f4"), ([], "expected NAME=F")):
        done = run(program, conditions_bundle, tmp_path / "x.bmp", 5, 3, 4, *others)
        assert (done.returncode, message in done.stderr) == (1, True), done.stderr


def test_float_images_are_refused(program: list[str], fresh_bundle: Path, tmp_path: Path) -> None:
    done = run(program, fresh_bundle, tmp_path / "flowers.bmp")
    assert done.returncode == 1
    assert "expected a bundle of RGB images with --image_dtype=uint8" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "usage: sample BUNDLE OUT.bmp"),
        (["no.bundle", "x.bmp"], 1, "no.bundle"),
        (["x.bmp", "-1"], 1, "FIRST_SEED=-1: expected a whole number from 0"),
        (["x.bmp", "0", "two"], 1, "COUNT=two: expected a whole number from 1 to 4096"),
        (["x.bmp", "0", "2", "0"], 1, "STEPS=0: expected a whole number from 1 to 1000"),
    ],
)
def test_wrong_arguments_are_refused(
    program: list[str], tiny_bundle: Path, arguments: list[str], status: int, message: str
) -> None:
    bundle = [tiny_bundle] if arguments[:1] == ["x.bmp"] else []
    done = run(program, *bundle, *arguments)
    assert (done.returncode, message in done.stderr) == (status, True), done.stderr
