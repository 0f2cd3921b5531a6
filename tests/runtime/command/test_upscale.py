"""`diffkiln-sample --upscale`: what it reads, writes and refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from in_process import run_sample
from pictures import FILES, UPRIGHT, picture, same_colour, saved, turned
from PIL import Image

from diffkiln.runtime import Sampler
from diffkiln.runtime.command.photo import read_whole

PHOTO = np.asarray(picture(1, 40).resize((25, 18)))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def flags(enlarging_bundle: Path, photo: Path) -> list[str]:
    return [f"--bundle={enlarging_bundle}", "--device=cpu", "--steps=2", f"--upscale={photo}"]


def expected(bundle: Path, seeds: list[int], level: float = 0.25) -> np.ndarray:
    photos = PHOTO[np.newaxis].repeat(len(seeds), axis=0)
    with Sampler(bundle, device="cpu") as sampler:
        return sampler.upscale(photos, seeds=seeds, steps=2, conditions={"augmentation": level})


def test_one_picture_by_default(flags: list[str], enlarging_bundle: Path, tmp_path: Path) -> None:
    for ending in ("png", "webp"):
        done = run_sample(*flags, f"--out={tmp_path}/large.{ending}")
        assert done.returncode == 0, done.stderr
        assert f"wrote {tmp_path}/large.{ending}: count 1, seed 0, steps 2" in done.stdout
        with Image.open(tmp_path / f"large.{ending}") as image:
            np.testing.assert_array_equal(np.asarray(image), expected(enlarging_bundle, [0])[0])
    done = run_sample(*flags, f"--out={tmp_path}/large.jpg", "--scale=2")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "large.jpg") as image:
        assert image.size == (100, 72)


def test_one_for_each_seed(flags: list[str], enlarging_bundle: Path, tmp_path: Path) -> None:
    flags += ["--condition=augmentation=0.5"]
    done = run_sample(*flags, "--seeds=7,2", f"--out={tmp_path}/a.npz")
    assert done.returncode == 0, done.stderr
    images = expected(enlarging_bundle, [7, 2], level=0.5)
    with np.load(tmp_path / "a.npz") as saved_arrays:
        np.testing.assert_array_equal(saved_arrays["images"], images)
        np.testing.assert_array_equal(saved_arrays["photo"], PHOTO)
        assert saved_arrays["seeds"].tolist() == [7, 2]
        settings = json.loads(str(saved_arrays["settings"]))
    assert {"photo_sha256", "condition_augmentation_sha256"} <= settings.keys()
    done = run_sample(*flags, "--count=2", "--seed=6", f"--out={tmp_path}/folder")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "folder" / "00000007.png") as image:
        np.testing.assert_array_equal(np.asarray(image), images[0])


def test_a_folder_of_another_picture_is_refused(
    flags: list[str], photo: Path, tmp_path: Path
) -> None:
    flags += [f"--out={tmp_path}/folder"]
    assert run_sample(*flags).returncode == 0
    again = run_sample(*flags, "--count=2")
    assert "count 1, 1 were there, seeds 0 to 1" in again.stdout
    Image.fromarray(255 - PHOTO).save(photo)
    refused = run_sample(*flags)
    assert refused.returncode == 2
    assert "was begun with photo_sha256 " in refused.stderr


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", FILES)
def test_colours_are_read_as_elsewhere(tmp_path: Path, kind: str, channels: int) -> None:
    content, colour = FILES[kind]
    (path := tmp_path / "a").write_bytes(content)
    pixels = read_whole(path, channels, None, most=16)
    assert pixels.shape[-1] == channels
    assert same_colour(pixels, colour, kind)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    (path := tmp_path / "a").write_bytes(turned(orientation))
    np.testing.assert_array_equal(read_whole(path, 1, None, most=4)[..., 0], UPRIGHT)


def test_a_picture_may_be_too_large(tmp_path: Path) -> None:
    (path := tmp_path / "a").write_bytes(saved(Image.new("L", (5, 4)), "PNG"))
    assert read_whole(path, 3, None, most=20).shape == (4, 5, 3)
    with pytest.raises(ValueError, match="has 20 pixels, expected at most 19; cut it into parts"):
        read_whole(path, 3, None, most=19)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--mask={photo}"], "--mask: has no effect beside --upscale"),
        (["--shard=1/2"], "--shard: has no effect beside --upscale"),
        (["--reconstruct={photo}"], "--upscale: has no effect beside --reconstruct"),
        (["--inpaint={photo}", "--mask={photo}"], "--upscale: has no effect beside --inpaint"),
        (["--interpolate_to=3"], "--upscale: has no effect beside --interpolate_to"),
        (["--upscale=nowhere.png"], "--upscale=nowhere.png: is not a file; expected a picture"),
        (["--out=a.gif"], "a folder with --upscale"),
        (["--condition=low_resolution={photo}"], "is made from other flags; leave it out"),
        (["--condition=augmentation=a"], "--condition=augmentation=a: is not a file"),
        (["--label=rose"], "knows no classes"),
        (["--steps=0"], "--steps=0: expected a whole number"),
    ],
)
def test_wrong_usage(
    flags: list[str], photo: Path, tmp_path: Path, more: list[str], message: str
) -> None:
    more = [flag.format(photo=photo) for flag in more]
    done = run_sample(*flags, f"--out={tmp_path}/a.png", *more)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_other_bundles_are_refused(full_bundle: Path, photo: Path, tmp_path: Path) -> None:
    flags = (f"--bundle={full_bundle}", f"--upscale={photo}", f"--out={tmp_path}/a.png")
    done = run_sample(*flags)
    assert done.returncode == 1
    assert "enlarges no pictures, expected the condition low_resolution" in done.stderr
