"""Interpolations, repainted and reconstructed photographs, and lists of seeds, as files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pictures import picture
from PIL import Image

from diffkiln.runtime import Sampler, open_bundle
from diffkiln.runtime.command.options import parse_options
from diffkiln.runtime.command.outputs import Output, checked_output, write
from diffkiln.runtime.command.photo import read_mask, read_photo
from diffkiln.runtime.command.request import checked_task
from diffkiln.runtime.command.sample import OPTIONS
from diffkiln.runtime.command.tasks import Task
from diffkiln.runtime.errors import UsageError
from diffkiln.runtime.output.images import GAP, grid, masked

SHAPE = (16, 16, 3)


def request(path: Path, out: Path, *arguments: str) -> tuple[Task, Output]:
    values = parse_options(OPTIONS, [f"--bundle={path}", f"--out={out}", "--steps=3", *arguments])
    task = checked_task(values, bundle := open_bundle(path))
    return task, checked_output(values, bundle, task)


def make(bundle: Path, out: Path, *arguments: str) -> Path:
    task, output = request(bundle, out, *arguments)
    with Sampler(bundle, device="cpu") as sampler:
        write(task, output, sampler)
    return out


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def sampler(full_bundle: Path) -> Sampler:
    return Sampler(full_bundle, device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    picture(1, 40).crop((0, 0, 40, 30)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    pixels = np.zeros((30, 40), np.uint8)
    pixels[10:20, 15:25] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_seeds_may_be_listed(tiny_bundle: Path, tmp_path: Path, sampler: Sampler) -> None:
    make(tiny_bundle, tmp_path / "out", "--seeds=9-10,3")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        "00000003.png",
        "00000009.png",
        "00000010.png",
    ]
    expected = sampler.sample([9, 10, 3], steps=3)
    assert np.array_equal(read(tmp_path / "out" / "00000003.png"), expected[2])


def test_arrays_come_with_seeds_and_settings(tiny_bundle: Path, tmp_path: Path) -> None:
    make(tiny_bundle, tmp_path / "a.npz", "--count=2", "--seed=4")
    with np.load(tmp_path / "a.npz") as arrays:
        assert (arrays["images"].shape, arrays["images"].dtype) == ((2, *SHAPE), np.uint8)
        assert (arrays["seeds"].tolist(), arrays["seeds"].dtype) == ([4, 5], np.int64)
        assert f'"bundle": "{tiny_bundle.name}"' in str(arrays["settings"])
        assert '"steps": 3' in str(arrays["settings"])


def test_an_interpolation_is_a_strip(full_bundle: Path, tmp_path: Path, sampler: Sampler) -> None:
    make(full_bundle, tmp_path / "a.png", "--seed=2", "--interpolate_to=9", "--count=4")
    expected = sampler.interpolate(2, 9, 4, steps=3)
    assert np.array_equal(read(tmp_path / "a.png"), grid(expected, one_row=True))


def test_an_interpolation_moves_there_and_back(full_bundle: Path, tmp_path: Path) -> None:
    make(full_bundle, tmp_path / "a.gif", "--interpolate_to=9", "--count=4")
    with Image.open(tmp_path / "a.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 6


def test_an_interpolation_fills_a_folder_and_goes_on(
    full_bundle: Path, tmp_path: Path, sampler: Sampler
) -> None:
    out, flags = tmp_path / "out", ("--interpolate_to=9", "--count=3")
    make(full_bundle, out, *flags)
    (out / "00000001.png").unlink()
    make(full_bundle, out, *flags)
    images = [read(out / f"0000000{number}.png") for number in range(3)]
    assert np.array_equal(images, sampler.interpolate(0, 9, 3, steps=3))


@pytest.mark.parametrize(
    "flags", [["--interpolate_to=8", "--count=3"], ["--interpolate_to=9", "--count=4"], []]
)
def test_a_folder_of_another_task_is_not_continued(
    full_bundle: Path, tmp_path: Path, flags: list[str]
) -> None:
    make(full_bundle, tmp_path / "out", "--interpolate_to=9", "--count=3")
    with pytest.raises(UsageError, match=r"out: was begun with (interpolation 0, 9|count 3), not "):
        request(full_bundle, tmp_path / "out", *flags)


def test_inpainting_shows_the_photograph_first(
    full_bundle: Path, tmp_path: Path, sampler: Sampler, photo: Path, mask: Path
) -> None:
    flags = [f"--inpaint={photo}", f"--mask={mask}", "--count=2", "--seed=7"]
    make(full_bundle, tmp_path / "a.png", *flags)
    image, hole = read_photo(photo, SHAPE), read_mask(mask, SHAPE)
    variants = sampler.inpaint(np.stack([image, image]), hole, seeds=[7, 8], steps=3)
    expected = grid(np.stack([image, masked(image, hole), *variants]), one_row=True)
    assert np.array_equal(read(tmp_path / "a.png"), expected)


def test_inpainting_fills_a_folder_by_seed(
    full_bundle: Path, tmp_path: Path, photo: Path, mask: Path
) -> None:
    flags = [f"--inpaint={photo}", f"--mask={mask}", "--seeds=3,20-40"]
    make(full_bundle, tmp_path / "out", *flags)
    hole = read_mask(mask, SHAPE)
    kept = read(tmp_path / "out" / "00000040.png")[hole[..., 0] == 0]
    assert np.array_equal(kept, read_photo(photo, SHAPE)[hole[..., 0] == 0])
    assert len(list((tmp_path / "out").glob("*.png"))) == 22
    picture(2, 40).crop((0, 0, 40, 30)).save(photo)
    with pytest.raises(UsageError, match="out: was begun with photo_sha256 "):
        request(full_bundle, tmp_path / "out", *flags)


def test_a_reconstruction_shows_both(
    full_bundle: Path, tmp_path: Path, sampler: Sampler, photo: Path
) -> None:
    make(full_bundle, tmp_path / "a.png", f"--reconstruct={photo}")
    image = read_photo(photo, SHAPE)
    expected = grid(np.stack([image, *sampler.reconstruct(image[np.newaxis], steps=3)]))
    assert np.array_equal(read(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_a_photograph_is_fitted_as_the_bundle_says(
    full_bundle: Path, tmp_path: Path, photo: Path, mask: Path, fit: str
) -> None:
    bundle = shutil.copytree(full_bundle, tmp_path / "b")
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["image"]["fit"] = fit
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    task, _ = request(bundle, tmp_path / "a.png", f"--reconstruct={photo}")
    assert np.array_equal(task.arrays["photo"], read_photo(photo, SHAPE, fit=fit))
    make(bundle, tmp_path / "a.npz", f"--inpaint={photo}", f"--mask={mask}", "--count=1")
    with np.load(tmp_path / "a.npz") as arrays:
        image, hole = arrays["photo"], arrays["mask"]
        assert np.array_equal(image, read_photo(photo, SHAPE, fit=fit))
        assert np.array_equal(hole, read_mask(mask, SHAPE, fit))
        kept = hole[..., 0] == 0
        assert np.array_equal(arrays["images"][0][kept], image[kept])
    # Of 16 rows, a photograph of 4:3 leaves 4 for bars.
    bars = (image[[0, 1, 14, 15]] == 255).all() and kept[[0, 1, 14, 15]].all()
    assert bars == (fit == "pad")


def test_a_long_denoising_skips_frames(full_bundle: Path, tmp_path: Path) -> None:
    task, _ = request(full_bundle, tmp_path / "a.gif", "--count=1", "--steps=61")
    with Sampler(full_bundle, device="cpu") as sampler:
        frames = list(task.draw(sampler, task.numbers))
        assert len(frames) == task.frames == 31
        *_, (_, last) = sampler.stepwise(1, steps=61)
    assert np.array_equal(frames[-1], last)


def test_a_strip_has_no_gap_at_its_ends(full_bundle: Path, tmp_path: Path) -> None:
    make(full_bundle, tmp_path / "a.png", "--interpolate_to=9", "--count=3", "--scale=2")
    assert read(tmp_path / "a.png").shape == (32, 2 * (3 * 16 + 2 * GAP), 3)
