"""Labels and guidance, in Python and on the command line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import run_sample
from PIL import Image

from diffkiln.runtime import Sampler
from diffkiln.trainer.data.synthetic.species import SPECIES

CLASSES = tuple(SPECIES)


@pytest.fixture(scope="module")
def sampler(class_bundle: Path):
    with Sampler(class_bundle, device="cpu", max_batch=3) as sampler:
        yield sampler


def test_a_seed_shows_its_class_by_default(sampler: Sampler) -> None:
    assert sampler.bundle.class_names == CLASSES
    images = sampler.sample(seeds=[3, 12, 27], steps=3)
    named = ["primrose", "sunflower", CLASSES[7]]
    np.testing.assert_array_equal(
        images, sampler.sample(seeds=[3, 12, 27], steps=3, labels=named, guidance=20.0)
    )
    others = sampler.sample(seeds=[3, 12, 27], steps=3, labels=5)
    assert all((images != others).any(axis=(1, 2, 3)))


def test_an_image_depends_on_its_own_seed_and_label(sampler: Sampler) -> None:
    many = sampler.sample(5, steps=2, labels=[4, 3, -1, 1, 0], guidance=3.0)
    alone = sampler.sample(1, seed=3, steps=2, labels="daisy", guidance=3)
    np.testing.assert_array_equal(many[3:4], alone)


def test_steps_one_by_one_are_the_same(sampler: Sampler) -> None:
    whole = sampler.sample(4, steps=3, labels=2, guidance=2.5)
    steps: list[int] = []
    reported = sampler.sample(
        4, steps=3, labels=2, guidance=2.5, progress=lambda done, _: steps.append(done)
    )
    *_, (_, last) = sampler.stepwise(4, steps=3, labels=2, guidance=2.5)
    frames = sampler.trajectory(4, steps=3, labels=2, guidance=2.5)
    assert steps == [1, 2, 3, 4, 5, 6]
    for images in (reported, last, frames[-1]):
        assert np.abs(whole.astype(int) - images).max() <= 1


def test_a_network_that_takes_the_guidance(guided_bundle: Path) -> None:
    with Sampler(guided_bundle, device="cpu") as guided:
        assert guided.bundle.guidance_range == (0.5, 4.0)
        weak, strong = (guided.sample(2, steps=3, guidance=g) for g in (0.5, 4.0))
        assert (weak != strong).any()
        *_, (_, last) = guided.stepwise(2, steps=3, guidance=4.0)
        assert np.abs(last.astype(int) - strong).max() <= 1
        for outside in (0.4, 4.1):
            with pytest.raises(ValueError, match=rf"={outside}: expected a number from 0\.5 to 4$"):
                guided.sample(1, guidance=outside)


def test_an_interpolation_shows_one_class(sampler: Sampler) -> None:
    way = sampler.interpolate(1, 4, 4, steps=2)
    np.testing.assert_array_equal(way[[0, 3]], sampler.sample(seeds=[1, 4], steps=2, labels=1))


def test_a_photograph_shows_no_class_by_default(sampler: Sampler) -> None:
    photo = sampler.sample(1, steps=3)
    mask = np.ones((16, 16), bool)
    plain = sampler.inpaint(photo, mask, steps=2)
    np.testing.assert_array_equal(plain, sampler.inpaint(photo, mask, steps=2, labels=-1))
    assert (plain != sampler.inpaint(photo, mask, steps=2, labels="lotus")).any()
    # The inversion reverses exactly the steps of the sampling, guidance included.
    again = sampler.reconstruct(photo, steps=10, labels=0, guidance=1.0)
    assert np.abs(again.astype(int) - photo).mean() < 20


@pytest.mark.parametrize(
    ("conditioning", "message"),
    [
        ({"labels": "dahlias"}, "'dahlias' is none of the bundle's 10 classes; did you mean 'dahl"),
        ({"labels": "xyz"}, "classes; the first are 'cosmos', 'daisy', 'sunflower', 'primro"),
        ({"labels": 10}, "labels: 10 is no class, expected a name, or a whole number from -1"),
        ({"labels": -2}, "labels: -2 is no class"),
        ({"labels": True}, "labels: True is no class"),
        ({"labels": 1.0}, r"labels: 1\.0 is no class"),
        ({"labels": [1, 2]}, "labels: received 2, expected 3, one for each image, or one for all"),
        ({"guidance": -0.1}, r"guidance=-0\.1: expected a number from 0 to 100"),
        ({"guidance": float("nan")}, "guidance=nan: expected a number"),
        ({"guidance": "2"}, "guidance='2': expected a number"),
    ],
)
def test_wrong_labels_and_guidance(
    sampler: Sampler, conditioning: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sampler.sample(3, steps=1, **conditioning)
    with pytest.raises(ValueError, match=message):
        sampler.batches(3, steps=1, **conditioning)


def test_a_model_without_classes_says_so(tiny_bundle: Path) -> None:
    with Sampler(tiny_bundle, device="cpu") as plain:
        conditionings: list[dict[str, Any]] = [{"labels": 1}, {"guidance": 1.0}]
        for conditioning in conditionings:
            with pytest.raises(ValueError, match=r"=1(\.0)?: the model of \S+ knows no classes"):
                plain.sample(1, steps=1, **conditioning)


def test_labels_on_the_command_line(class_bundle: Path, sampler: Sampler, tmp_path: Path) -> None:
    def arrays(*flags: str) -> np.ndarray:
        out = tmp_path / "a.npz"
        done = run_sample(
            f"--bundle={class_bundle}", "--device=cpu", "--steps=2", f"--out={out}", *flags
        )
        assert done.returncode == 0, done.stderr
        with np.load(out) as saved:
            return saved["images"]

    turns = [3, 2, 3]  # of seeds 0, 1, 2
    expected = sampler.sample(3, steps=2, labels=turns, guidance=1.5)
    none = sampler.sample(2, steps=2, labels=-1)
    for label in ("3,sunflower", "3,SUNFLOWER"):
        images = arrays("--count=3", f"--label={label}", "--guidance=1.5", "--max_batch=3")
        np.testing.assert_array_equal(images, expected)
    for label in ("none", "-1"):
        np.testing.assert_array_equal(arrays("--count=2", f"--label={label}"), none)


def test_pictures_of_a_class(class_bundle: Path, tmp_path: Path) -> None:
    flags = (f"--bundle={class_bundle}", "--device=cpu", "--steps=2", "--count=2", "--label=poppy")
    photo = tmp_path / "photo.png"
    Image.new("RGB", (16, 16), "white").save(photo)
    for out, *kind in (
        ("grid.png",),
        ("moving.gif",),
        ("way.png", "--interpolate_to=5"),
        ("painted.png", f"--inpaint={photo}", f"--mask={photo}"),
    ):
        done = run_sample(*flags, f"--out={tmp_path / out}", *kind)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / out).is_file()


def test_a_restart_with_another_class_is_refused(class_bundle: Path, tmp_path: Path) -> None:
    flags = (f"--bundle={class_bundle}", "--device=cpu", "--steps=1", f"--out={tmp_path / 'all'}")
    first = run_sample(*flags, "--shard=1/2", "--label=poppy")
    assert first.returncode == 0, first.stderr
    other = run_sample(*flags, "--shard=2/2", "--label=lotus")
    assert other.returncode == 2
    assert "was begun with label 7, not label 8" in other.stderr
    # The bundle's own guidance, which the first part left out.
    same = run_sample(*flags, "--shard=2/2", "--label=poppy", "--guidance=20")
    assert same.returncode == 0, same.stderr


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--label=rose", "--label: 'rose' is none of the bundle's 10 classes; did you mean 'prim"),
        ("--label=10", "--label: 10 is no class, expected a name, or a whole number from -1"),
        ("--guidance=101", "--guidance=101.0: expected a number from 0 to 100"),
        ("--guidance=-.5", "--guidance=-0.5: expected a number from 0 to 100"),
        ("--guidance=nan", "--guidance=nan: expected a number from 0 to 100"),
    ],
)
def test_wrong_flags(class_bundle: Path, tmp_path: Path, flag: str, message: str) -> None:
    done = run_sample(f"--bundle={class_bundle}", f"--out={tmp_path / 'a.png'}", flag)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert message in done.stderr
