"""Flags of `diffkiln-sample` that do not go together, or not with the bundle or its files."""

from pathlib import Path

import pytest
from pictures import picture

from diffkiln.runtime import Bundle, BundleError, open_bundle
from diffkiln.runtime.command.options import parse_options
from diffkiln.runtime.command.outputs import checked_output
from diffkiln.runtime.command.request import checked_task
from diffkiln.runtime.command.sample import OPTIONS
from diffkiln.runtime.errors import UsageError


def check(bundle: Bundle, out: Path, *arguments: str) -> None:
    values = parse_options(OPTIONS, ["--bundle=b", f"--out={out}", *arguments])
    checked_output(values, bundle, checked_task(values, bundle))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    picture(1, 40).crop((0, 0, 40, 30)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps=0"], "--steps=0: expected a whole number"),
        (["--steps=99999"], "--steps=99999: expected at most 1000, the most of"),
        (["--count=0"], "--count=0: expected a whole number from 1 to 1000000"),
        (["--count=1000001"], "--count=1000001: expected a whole number from 1 to 1000000"),
        (["--count=5000"], "would show 5000 images, expected at most 4096; give --out a folder"),
        (["--count=4000", "--scale=64"], "expected at most 268435456 pixels in all; lower"),
        (["--out=a.webp", "--interpolate_to=1", "--count=15", "--scale=64"], "16383 a side in a"),
        (["--out=https://a.b/c.png"], "--out=https://a.b/c.png: is a URL, expected a path on this"),
        (["--out=-"], "--out=-: expected a path; write ./- for something of this name"),
        (["--seed=-1"], "--seed=-1: expected a whole number from 0"),
        (["--seed=9223372036854775800"], "--seed=9223372036854775800: expected a whole number"),
        (["--seeds=1,2", "--count=3"], "--count: has no effect beside --seeds"),
        (["--interpolate_to=3", "--seeds=1,2"], "--seeds: has no effect beside --interpolate_to"),
        (["--interpolate_to=3", "--count=1"], "--count=1: expected 2 to 4096 with"),
        (["--interpolate_to=3", "--seed=-1"], "--seed=-1: expected a whole number from 0"),
        (["--interpolate_to=3", "--shard=1/2"], "--shard: has no effect beside --interpolate_to"),
        (["--guidance=2"], "--guidance=2.0: the model of"),
        (["--label=rose,2"], "--label='rose,2': the model of"),
        (["--shard=1/2"], "expected .npz or a folder with --shard"),
        (["--inpaint=p.png"], "--inpaint: expected --mask with it"),
        (["--mask=p.png"], "--mask: expected --inpaint with it"),
        (["--reconstruct=nowhere.png"], "--reconstruct=nowhere.png: is not a file"),
        (["--reconstruct=p.png", "--count=3"], "--count: has no effect beside --reconstruct"),
        (["--out=a.gif", "--reconstruct={photo}"], ".jpeg or .npz with --reconstruct"),
        (["--out=a.gif", "--inpaint={photo}", "--mask={photo}"], "with --inpaint"),
        (["--out=a.npz", "--scale=2"], "--scale=2: expected 1 for a .npz"),
        (["--inpaint={photo}", "--mask={small}"], "has 20 x 20 pixels, expected 40 x 30"),
    ],
)
def test_wrong_usage(
    full_bundle: Path, tmp_path: Path, photo: Path, arguments: list[str], message: str
) -> None:
    picture(1, 20).save(small := tmp_path / "small.png")
    filled = [argument.format(photo=photo, small=small) for argument in arguments]
    with pytest.raises(UsageError) as caught:
        check(open_bundle(full_bundle), tmp_path / "a.png", *filled)
    assert message in str(caught.value)


def test_a_missing_graph_is_named(tiny_bundle: Path, tmp_path: Path, photo: Path) -> None:
    with pytest.raises(BundleError, match=r"no graph 'encode', .*=sampler,.*,encode$"):
        check(open_bundle(tiny_bundle), tmp_path / "a.png", f"--reconstruct={photo}")


def test_an_unrolled_bundle_has_one_number_of_steps(full_bundle: Path, tmp_path: Path) -> None:
    bundle = open_bundle(full_bundle)._replace(unrolled_steps=4)
    with pytest.raises(UsageError, match="--steps=3: this bundle is unrolled for 4 steps only"):
        check(bundle, tmp_path / "a.png", "--steps=3")
    check(bundle, tmp_path / "a.gif", "--steps=3")  # which goes step by step


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("a.bmp", "expected a .png, .webp, .jpg, .gif or .npz, or a folder without a dot"),
        (".png", "or a folder without a dot"),
        ("flowers.v2", "or a folder without a dot"),
        ("no/a.png", "expected a path in an existing folder; create"),
        ("full", "holds other files, expected a new or empty folder"),
        ("folder.png", "is a folder or a device, expected a file"),
        ("full/mine", "is a file or a device, expected a folder"),
    ],
)
def test_wrong_outputs(tiny_bundle: Path, tmp_path: Path, out: str, message: str) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(UsageError) as caught:
        check(open_bundle(tiny_bundle), tmp_path / out)
    assert message in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "full"]


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_make_no_picture(full_bundle: Path, tmp_path: Path, channels: int) -> None:
    bundle = open_bundle(full_bundle)._replace(sample_shape=(8, 8, channels))
    with pytest.raises(BundleError, match=f"images have {channels} channels, expected 1, 3 or 4"):
        check(bundle, tmp_path / "a.png")
    for flags in ([], ["--interpolate_to=3"]):
        check(bundle, tmp_path / "a.npz", *flags)
    with pytest.raises(BundleError, match="expected 1, 3 or 4"):
        check(bundle, tmp_path / "a.npz", "--reconstruct=a.png")
