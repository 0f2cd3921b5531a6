"""Photographs that are redrawn: `Sampler.edit` and `diffkiln-sample --edit`."""

import json
from pathlib import Path

import numpy as np
import pytest
from in_process import run_sample
from PIL import Image
from small_models import small_bundle

from diffkiln.runtime import Sampler
from diffkiln.runtime.engine.arguments import start_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edit") / "bundle"
    return small_bundle(folder, graphs=("sampler", "edit"))


def photographs(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("strength", "steps", "start"),
    [(1, 20, 0), (0.6, 20, 8), (0.5, 5, 3), (0.001, 20, 19), (1.0, 1, 0), (0.04, 50, 48)],
)
def test_strength_is_the_part_of_the_steps(strength: float, steps: int, start: int) -> None:
    assert start_of(strength, steps) == start


@pytest.mark.parametrize("strength", [0, -0.5, 1.01, float("nan"), True, "0.5", None])
def test_other_strengths_are_refused(strength: object) -> None:
    with pytest.raises(ValueError, match="expected a number above 0, up to 1"):
        start_of(strength, 20)


def test_an_edit_is_the_graph_from_that_step_on(bundle: Path) -> None:
    images = photographs(3)
    with Sampler(bundle) as sampler:
        edited = sampler.edit(images, 0.6, seed=5, steps=10)
        feeds = {"images": images, "seeds": np.array([5, 6, 7])}
        numbers = {"steps": np.array(10), "start": np.array(4)}
        (expected,) = sampler.run("edit", {**feeds, **numbers})
        alone = sampler.edit(images[1:2], 0.6, seeds=[6], steps=10)
        with pytest.raises(ValueError, match="start from 10 to 10: expected numbers from 0 to 9"):
            sampler.run("edit", {**feeds, **numbers, "start": np.array(10)})
    np.testing.assert_array_equal(edited, expected)
    # Convolutions of one image may add up in another order than those of three.
    assert np.abs(alone[0].astype(int) - edited[1]).max() <= 1


def test_the_command_edits_a_photograph(bundle: Path, tmp_path: Path) -> None:
    photo, out = tmp_path / "photo.png", tmp_path / "edited"
    Image.fromarray(photographs(1)[0]).save(photo)
    flags = [f"--bundle={bundle}", f"--edit={photo}", "--steps=10", "--count=2", f"--out={out}"]
    done = run_sample(*flags, "--strength=0.3")
    assert done.returncode == 0, done.stderr
    record = json.loads((out / ".diffkiln.json").read_text())
    assert record["strength"] == 0.3
    with Sampler(bundle) as sampler:
        expected = sampler.edit(photographs(1).repeat(2, axis=0), 0.3, steps=10)
    drawn = [np.asarray(Image.open(file)) for file in sorted(out.glob("*.png"))]
    assert np.abs(np.stack(drawn).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--edit=photo.png", "--strength=2"], "--strength=2.0: expected a number above 0, up to"),
        (["--strength=0.5"], "--strength: expected --edit with it"),
        (["--edit=photo.png", "--mask=photo.png"], "--mask: has no effect beside --edit"),
        (["--edit=none.png"], "--edit=none.png: "),
    ],
)
def test_wrong_use_gets_a_line(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photographs(1)[0]).save("photo.png")
    done = run_sample(f"--bundle={bundle}", *flags, "--out=out.png")
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("out.png").exists()


def test_a_bundle_without_the_graph_says_so(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle")
    with Sampler(bundle) as sampler, pytest.raises(Exception, match="holds no graph 'edit'"):
        sampler.edit(photographs(1), 0.5)
