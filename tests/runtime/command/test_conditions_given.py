"""--condition: files of arrays, pictures and numbers, for whole jobs and their parts."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from given_conditions import of, saved
from in_process import run_sample
from pictures import picture
from PIL import Image

from diffkiln.runtime import Sampler, open_bundle
from diffkiln.runtime.command.conditions import Conditions, conditions_of
from diffkiln.runtime.command.options import parse_options
from diffkiln.runtime.command.photo import read_photo
from diffkiln.runtime.command.sample import OPTIONS
from diffkiln.runtime.errors import UsageError

FIVE = of(slice(5))
SEEDS = [11, 3, 8, 2**62, 4]


@pytest.fixture
def flags(conditions_bundle: Path, tmp_path: Path) -> list[str]:
    """A command's bundle and conditions, with rows for five images."""
    given = [f"--condition={text}" for text in saved(tmp_path, FIVE)]
    return [f"--bundle={conditions_bundle}", "--device=cpu", "--steps=2", *given]


def sampled(*flags: str) -> None:
    done = run_sample(*flags)
    assert done.returncode == 0, done.stderr


def images_of(path: Path) -> np.ndarray:
    with np.load(path) as arrays:
        return arrays["images"]


@pytest.fixture(scope="module")
def expected(conditions_bundle: Path) -> np.ndarray:
    with Sampler(conditions_bundle, device="cpu") as sampler:
        return sampler.sample(seeds=SEEDS, steps=2, conditions=FIVE)


def test_row_i_is_for_the_image_of_the_ith_seed(
    flags: list[str], expected: np.ndarray, tmp_path: Path
) -> None:
    seeds = f"--seeds={','.join(map(str, SEEDS))}"
    sampled(*flags, seeds, f"--out={tmp_path / 'all.npz'}")
    np.testing.assert_array_equal(images_of(tmp_path / "all.npz"), expected)
    for part in (1, 2, 3):
        sampled(*flags, seeds, f"--out={tmp_path / 'part.npz'}", f"--shard={part}/3")
    parts = [images_of(file) for file in sorted(tmp_path.glob("part-*"))]
    assert [len(part) for part in parts] == [1, 2, 2]
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_a_folder_goes_on_with_the_rows_of_what_is_missing(
    flags: list[str], expected: np.ndarray, tmp_path: Path
) -> None:
    flags += [f"--seeds={','.join(map(str, SEEDS))}", f"--out={tmp_path / 'all'}"]
    sampled(*flags, "--shard=2/2")
    (tmp_path / "all" / "00000008.png").unlink()
    sampled(*flags)
    images = [np.asarray(Image.open(tmp_path / "all" / f"{seed:08d}.png")) for seed in SEEDS]
    np.testing.assert_array_equal(np.stack(images), expected)


def test_what_is_recorded(flags: list[str], tmp_path: Path) -> None:
    sampled(*flags, "--count=5", f"--out={tmp_path / 'a.npz'}")
    with np.load(tmp_path / "a.npz") as arrays:
        settings = json.loads(str(arrays["settings"]))
    assert settings["guidance"] == 3.0
    assert "label" not in settings
    for name, values in FIVE.items():
        digest = hashlib.sha256(values.tobytes()).hexdigest()
        assert settings[f"condition_{name}_sha256"] == digest


def test_a_restart_with_another_condition_is_refused(flags: list[str], tmp_path: Path) -> None:
    flags += [f"--out={tmp_path / 'all'}", "--count=5"]
    sampled(*flags, "--shard=1/2")
    np.save(tmp_path / "text.npy", FIVE["text"][::-1])
    done = run_sample(*flags, "--shard=2/2")
    assert done.returncode == 2
    assert "was begun with condition_text_sha256 " in done.stderr
    np.save(tmp_path / "text.npy", np.asfortranarray(FIVE["text"], np.float64))  # the same numbers
    sampled(*flags, "--shard=2/2")
    assert len(list((tmp_path / "all").glob("*.png"))) == 5


def test_pictures_numbers_and_other_tasks(
    conditions_bundle: Path, flags: list[str], tmp_path: Path
) -> None:
    photo, paint = tmp_path / "photo.jpg", tmp_path / "paint.png"
    picture(1, 40).save(photo)
    Image.new("L", (16, 16), "white").save(paint)
    flags = [*flags[:3], "--condition=text=1,-2,3e-1, 0,.5,0", "--condition=age=4"]
    flags.append(f"--condition=sketch={photo}")
    sampled(*flags, "--count=2", f"--out={tmp_path / 'two.npz'}")
    given: dict[str, Any] = {"text": [[1, -2, 0.3], [0, 0.5, 0]], "age": 4}
    given["sketch"] = read_photo(photo, (6, 10, 1))
    with Sampler(conditions_bundle, device="cpu") as sampler:
        images = sampler.sample(2, steps=2, conditions=given)
    np.testing.assert_array_equal(images_of(tmp_path / "two.npz"), images)
    for out, *kind in (
        ("grid.png",),
        ("moving.gif", "--count=2"),
        ("way.png", "--interpolate_to=5", "--count=3"),
        ("painted.png", f"--inpaint={photo}", f"--mask={photo}", "--count=2"),
        ("redrawn.png", f"--edit={photo}", "--count=2"),
        ("again.png", f"--reconstruct={photo}"),
    ):
        sampled(*flags, f"--out={tmp_path / out}", *kind)
        assert (tmp_path / out).is_file()


def test_a_frame_has_its_own_row(conditions_bundle: Path, flags: list[str], tmp_path: Path) -> None:
    sampled(*flags, "--seed=2", "--interpolate_to=7", "--count=5", f"--out={tmp_path / 'a.npz'}")
    with Sampler(conditions_bundle, device="cpu") as sampler:
        way = sampler.interpolate(2, 7, 5, steps=2, conditions=FIVE)
    np.testing.assert_array_equal(images_of(tmp_path / "a.npz"), way)


def test_a_command_without_conditions_is_told_of_them(
    conditions_bundle: Path, tmp_path: Path
) -> None:
    done = run_sample(f"--bundle={conditions_bundle}", f"--out={tmp_path / 'a.png'}")
    assert done.returncode == 2
    assert "--condition: missing, expected text float32[2, 3] (two words, as" in done.stderr
    assert "age int64[] from 3 to 9; sketch uint8[6, 10, 1]\n" in done.stderr


def test_a_bundle_without_conditions_takes_none(full_bundle: Path, tmp_path: Path) -> None:
    done = run_sample(f"--bundle={full_bundle}", f"--out={tmp_path / 'a.png'}", "--condition=a=1")
    assert done.returncode == 2
    assert "--condition: 'a': " in done.stderr
    assert "takes none; leave them out" in done.stderr


def test_a_default_is_recorded_as_if_it_were_given(sketches_bundle: Path, tmp_path: Path) -> None:
    flags = [f"--bundle={sketches_bundle}", "--device=cpu", "--steps=1", "--count=2"]
    np.save(tmp_path / "grey.npy", np.full((6, 10, 1), 128, np.uint8))
    sampled(*flags, f"--out={tmp_path / 'all'}", "--shard=1/2")
    grey = f"--condition=sketch={tmp_path / 'grey.npy'}"
    sampled(*flags, f"--out={tmp_path / 'all'}", "--shard=2/2", grey)
    assert len(list((tmp_path / "all").glob("*.png"))) == 2


def check(bundle: Path, *flags: str) -> Conditions | None:
    values = parse_options(OPTIONS, ["--out=a.png", *flags])
    return conditions_of(values, open_bundle(bundle))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "--condition=: expected a name and a value, like text=prompt.npy"),
        ("text", "--condition=text: expected a name and a value"),
        ("text=", "--condition=text=: expected a name and a value"),
        ("=1", "--condition==1: expected a name and a value"),
        ("age=5", "--condition=age=4: was given before; give each name once"),
        ("txt=1", "--condition: 'txt' is none of the bundle's; did you mean 'text'?"),
        (
            "text=nowhere.npy",
            "--condition=text=nowhere.npy: is not a file, expected a .npy file or",
        ),
        ("text=.", "--condition=text=.: is not a file"),
        ("text=https://a.b/c", "--condition=text=https://a.b/c: is a URL, expected a path"),
        ("text=1,2", "has 2 numbers, expected 6 of the shape [2, 3]; write several images' to a"),
        ("text=1,2,3,4,5,", "expected numbers with commas between them, or a file"),
        ("text=1,2,3,4,5,1e99", "has numbers from 1.0 to inf, expected finite ones of float32"),
        ("text={folder}/photo.png", "is no array of NumPy, expected a .npy file or numbers"),
        ("text={folder}/empty.npy", "is no array of NumPy"),
        ("text={folder}/cut.npy", "cannot be read ("),
        ("text={folder}/header.npy", "cannot be read ("),
        ("text={folder}/pickled.npy", "cannot be read (Array can't be memory-mapped: Python obj"),
        ("text={folder}/huge.npy", "cannot be read ("),
        ("text={folder}/rows.npy", "has shape [3, 2, 3], expected [2, 3] for all images, or [5, 2"),
        ("text={folder}/words.npy", "has dtype <U4, expected float32"),
        ("text={folder}/nan.npy", "has numbers from nan to nan, expected finite ones of float32"),
    ],
)
def test_a_wrong_value(conditions_bundle: Path, tmp_path: Path, value: str, message: str) -> None:
    files(tmp_path)
    given = value.format(folder=tmp_path)
    others = [f"--condition={text}" for text in ("age=4", "sketch={folder}/photo.png")]
    flags = [flag.format(folder=tmp_path) for flag in others]
    with pytest.raises(UsageError) as caught:
        check(conditions_bundle, f"--condition={given}", *flags, "--count=5")
    assert message.format(folder=tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("age=2", "--condition=age=2: has numbers from 2 to 2, expected whole ones from 3 to 9"),
        ("age=4.5", "--condition=age=4.5: expected whole numbers with commas between them"),
        ("age=4,5", "has 2 numbers, expected 1 of the shape []"),
        (f"age={'9' * 5000}", "expected whole numbers"),
        (f"age={'9' * 30}", "has dtype object, expected int64"),
        ("sketch=nowhere.png", "is not a file, expected a .npy file, a picture or numbers"),
        ("sketch={folder}/text.txt", "is no picture that can be read; expected one of JPEG"),
        ("sketch={folder}/damaged.png", "cannot be decoded ("),
        ("sketch={folder}/nan.npy", "has shape [2, 3], expected [6, 10, 1]"),
    ],
)
def test_a_wrong_number_or_picture(
    conditions_bundle: Path, tmp_path: Path, value: str, message: str
) -> None:
    files(tmp_path)
    given = dict.fromkeys(("text", "age", "sketch"), "")
    given |= {"text": "1,2,3,4,5,6", "age": "4", "sketch": f"{tmp_path}/photo.png"}
    name, _, changed = value.format(folder=tmp_path).partition("=")
    flags = [f"--condition={key}={text}" for key, text in (given | {name: changed}).items()]
    with pytest.raises(UsageError) as caught:
        check(conditions_bundle, *flags)
    assert message in str(caught.value)


def files(folder: Path) -> None:
    """Files that are right and wrong in several ways."""
    picture(1, 40).save(folder / "photo.png")
    content = (folder / "photo.png").read_bytes()
    (folder / "damaged.png").write_bytes(content[: len(content) // 2])
    (folder / "text.txt").write_text("a sketch")
    (folder / "empty.npy").touch()
    np.save(folder / "rows.npy", FIVE["text"][:3])
    np.save(folder / "words.npy", np.full((2, 3), "word"))
    np.save(folder / "nan.npy", np.full((2, 3), np.nan))
    np.save(folder / "pickled.npy", np.full((2, 3), None), allow_pickle=True)
    whole = (folder / "rows.npy").read_bytes()
    (folder / "cut.npy").write_bytes(whole[:-1])
    (folder / "header.npy").write_bytes(whole[:20])
    (folder / "huge.npy").write_bytes(whole.replace(b"(3, 2, 3), }", b"(9999999999, 2, 3), }"))
    assert (folder / "huge.npy").read_bytes() != whole


def test_few_pixels_may_be_numbers(conditions_bundle: Path) -> None:
    flags = [f"--condition={text}" for text in ("text=1,2,3,4,5,6", "age=4")]
    pixels = ",".join(["255", "0"] * 30)
    found = check(conditions_bundle, *flags, f"--condition=sketch={pixels}")
    assert found is not None
    assert found.rows["sketch"].dtype == np.uint8
    with pytest.raises(UsageError, match="has dtype int64, expected uint8"):
        check(conditions_bundle, *flags, f"--condition=sketch={pixels.replace('255', '256')}")
