"""A Sampler, and the commands, of a bundle whose second stage enlarges what the first one draws."""

import copy
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import run_sample
from PIL import Image

from diffkiln.runtime import BundleError, Sampler, open_bundle
from diffkiln.runtime.bench.plan import plan
from diffkiln.runtime.bundle.conditions import Condition
from diffkiln.runtime.errors import CancelledError

SMALL, LARGE = (16, 12, 3), (32, 24, 3)


@pytest.fixture(scope="module")
def bundle(latents_bundle: Path) -> Path:
    return latents_bundle.with_name("cascade.bundle")


@pytest.fixture(scope="module")
def sampler(bundle: Path) -> Sampler:
    return Sampler(bundle, device="cpu")


def apart(some: np.ndarray, others: np.ndarray) -> int:
    return int(np.abs(some.astype(int) - others).max())


def changed(bundle: Path, folder: Path, change: Callable[[dict[str, Any]], object]) -> Sampler:
    """A sampler of a copy whose manifest was changed."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "bundle.json").read_text())
    change(manifest)
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return Sampler(folder, device="cpu")


def test_a_seed_is_one_picture_at_any_batch_and_position(bundle: Path, sampler: Sampler) -> None:
    images = sampler.sample(5, seed=3, steps=4)
    assert (images.shape, images.dtype) == ((5, *LARGE), np.uint8)
    # One level: a batch of another size adds in another order.
    assert apart(images[[3]], sampler.sample(seeds=[6], steps=4)) <= 1
    with Sampler(bundle, device="cpu", max_batch=2) as pairs:
        assert apart(images[::-1], pairs.sample(seeds=[7, 6, 5, 4, 3], steps=4)) <= 1


def test_single_steps_end_in_the_same_pictures(bundle: Path) -> None:
    calls: list[tuple[int, int]] = []
    with Sampler(bundle, device="cpu", max_batch=2) as sampler:
        images = sampler.sample(3, steps=4, progress=lambda *call: calls.append(call))
        assert apart(images, sampler.sample(3, steps=4)) <= 1
    # Of the first stage alone, in two batches.
    assert calls == [(done, 8) for done in range(1, 9)]


def test_earlier_steps_show_the_pixels_of_the_first_stage(sampler: Sampler) -> None:
    frames = dict(sampler.stepwise(2, steps=3))
    assert [frame.shape for frame in frames.values()] == [(2, *LARGE)] * 3
    assert apart(frames[2], sampler.sample(2, steps=3)) <= 1
    for step in (0, 1):
        rows = np.repeat(frames[step][:, ::2], 2, axis=1)
        np.testing.assert_array_equal(frames[step], np.repeat(rows[:, :, ::2], 2, axis=2))
    trajectory = sampler.trajectory(2, steps=3, every=2)
    np.testing.assert_array_equal(trajectory, np.stack([frames[0], frames[2]]))


def test_a_preview_is_rounded_to_whole_levels(sampler: Sampler) -> None:
    (noise,) = sampler.run("noise", {"seeds": np.array([0], np.int64)})
    given = {"labels": np.zeros(1, np.int64), "guidance": np.array(1, np.float32)}
    numbers = {"step": np.array(0), "steps": np.array(3)}
    *_, small = sampler.run("step", {**numbers, "noisy": noise, **given})
    assert (small.shape, small.dtype) == ((1, *SMALL), np.float32)
    _, preview = next(sampler.stepwise(1, steps=3, labels=0, guidance=1.0))
    np.testing.assert_array_equal(preview[:, ::2, ::2], np.rint(255 * small))


def test_the_noise_of_seeds_gives_their_pictures(sampler: Sampler) -> None:
    assert (sampler.bundle.noise_shape, sampler.bundle.sample_shape) == (SMALL, LARGE)
    (noise,) = sampler.run("noise", {"seeds": np.array([4, 5], np.int64)})
    images = sampler.from_noise(noise, seeds=[4, 5], steps=4, labels=[0, 1])
    assert apart(images, sampler.sample(2, seed=4, steps=4)) <= 1
    with pytest.raises(ValueError, match=r"noise of shape .*: expected \[N, 16, 12, 3\]"):
        sampler.from_noise(np.zeros((1, *LARGE), np.float32), seeds=[0])
    with pytest.raises(ValueError, match="since this bundle draws further noise"):
        sampler.from_noise(noise, steps=4)


def test_the_second_stage_draws_noise_of_its_own(sampler: Sampler) -> None:
    (noise,) = sampler.run("noise", {"seeds": np.array([4], np.int64)})
    first, other = (sampler.from_noise(noise, seeds=[seed], steps=4) for seed in (4, 5))
    assert apart(first, other) > 1


@pytest.mark.parametrize("frames", [2, 5])
def test_interpolations_end_in_the_pictures_of_both_seeds(sampler: Sampler, frames: int) -> None:
    path = sampler.interpolate(3, 8, frames, steps=4, labels=1)
    assert path.shape == (frames, *LARGE)
    assert apart(path[[0, -1]], sampler.sample(seeds=[3, 8], steps=4, labels=1)) <= 1


def test_fresh_noise_has_no_path_between_seeds(bundle: Path, tmp_path: Path) -> None:
    fresh = changed(bundle, tmp_path / "fresh", lambda values: values["sampler"].update(eta=1))
    with pytest.raises(BundleError, match="draws fresh noise in each step, expected a determ"):
        fresh.interpolate(0, 1, 2)


def test_small_pictures_are_enlarged_alone(sampler: Sampler) -> None:
    small, seeds = np.full((2, *SMALL), 0.5, np.float32), np.array([0, 1], np.int64)
    (images,) = sampler.run("upscaler", {"low_resolution": small, "seeds": seeds})
    assert (images.shape, images.dtype) == ((2, *LARGE), np.uint8)
    for wrong in (-0.1, 1.1, np.nan):
        feeds = {"low_resolution": np.full_like(small, wrong), "seeds": seeds}
        with pytest.raises(ValueError, match=r"low_resolution from .*: expected numbers from 0 to"):
            sampler.run("upscaler", feeds)


def test_a_cancelled_run_enlarges_nothing(sampler: Sampler) -> None:
    cancel = threading.Event()

    def stop(done: int, total: int) -> None:
        if done == total:
            cancel.set()

    with pytest.raises(CancelledError):
        sampler.sample(1, steps=2, progress=stop, cancel=cancel)


def refusals() -> list[tuple[Callable[[Sampler], object], str]]:
    large, small = np.zeros((1, *LARGE), np.uint8), np.zeros((1, *SMALL), np.uint8)
    elsewhere = "a cascade has no such graph, use the bundle of its first stage instead"
    return [
        (lambda sampler: sampler.encode(large), elsewhere),
        (lambda sampler: sampler.reconstruct(large), elsewhere),
        (lambda sampler: sampler.inpaint(large, np.ones(LARGE[:2], np.uint8)), elsewhere),
        (lambda sampler: sampler.edit(large, 0.5), elsewhere),
        (lambda sampler: sampler.load("trajectory"), elsewhere),
        (lambda sampler: sampler.upscale(small), "draws pictures of two stages, and enlarges none"),
        (lambda sampler: sampler.load("denoiser"), "--graphs=sampler,from_noise,noise,step,denois"),
    ]


@pytest.mark.parametrize(("refused", "expected"), refusals())
def test_what_two_stages_cannot_do(
    sampler: Sampler, refused: Callable[[Sampler], object], expected: str
) -> None:
    with pytest.raises(BundleError, match=expected) as caught:
        refused(sampler)
    assert "\n" not in str(caught.value)


def test_a_missing_graph_is_said_before_a_missing_condition(sampler: Sampler) -> None:
    text = Condition("text", "float32", (2, 3), -np.inf, np.inf)
    told = copy.copy(sampler)
    told.bundle = sampler.bundle._replace(conditions=(text,), graphs={})
    for method, *given in (
        ("edit", np.zeros((1, *LARGE), np.uint8), 0.5),
        ("from_noise", np.zeros((1, *SMALL), np.float32)),
        *(("interpolate", 0, 1, 2), ("stepwise", 1), ("trajectory", 1)),
    ):
        with pytest.raises(BundleError, match="holds no graph"):
            getattr(told, method)(*given)


def test_the_manifest_must_say_that_there_are_two(bundle: Path, tmp_path: Path) -> None:
    def one_stage(values: dict[str, Any]) -> None:
        del values["then"]
        for name in ("step", "upscaler", "noise"):
            del values["graphs"][name]

    with pytest.raises(BundleError, match="has more than one Loop"):
        changed(bundle, tmp_path / "one", one_stage).sample(1, steps=1)


def test_the_graph_repeats_the_second_stage(bundle: Path, tmp_path: Path) -> None:
    altered = changed(bundle, tmp_path / "a", lambda values: values["then"].update(steps=9))
    with pytest.raises(BundleError, match=r"that then is not .*: then\.steps is 5, expected 9;"):
        altered.sample(1, steps=1)


@pytest.mark.parametrize("name", ["out.png", "out.gif", "out.npz", "folder"])
def test_the_command_draws(bundle: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    flags = (f"--bundle={bundle}", "--device=cpu", "--steps=3", "--count=1", f"--out={out}")
    done = run_sample(*flags)
    assert (done.returncode, done.stderr) == (0, "")
    if out.suffix in (".png", ".gif"):
        with Image.open(out) as picture:
            assert picture.size == (24, 32)


def test_the_command_interpolates(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "path.npz"
    flags = (f"--bundle={bundle}", "--device=cpu", "--steps=3", "--interpolate_to=5")
    assert run_sample(*flags, "--count=3", f"--out={out}").stderr == ""
    with np.load(out) as arrays:
        assert arrays["images"].shape == (3, *LARGE)


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("edit", "a cascade has no such graph"),
        ("reconstruct", "a cascade has no such graph"),
        ("upscale", "draws pictures of two stages, and enlarges none"),
    ],
)
def test_the_command_refuses(bundle: Path, tmp_path: Path, flag: str, expected: str) -> None:
    picture, out = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (24, 32)).save(picture)
    done = run_sample(f"--bundle={bundle}", f"--{flag}={picture}", f"--out={out}")
    assert (done.returncode, done.stderr.count("\n"), out.exists()) == (1, 1, False)
    assert expected in done.stderr


def test_a_benchmark_says_what_it_leaves_out(bundle: Path) -> None:
    settings, left_out = plan([open_bundle(bundle)], ["cpu"], ["loop"], steps=[3], batches=[1])
    assert len(settings) == 1
    assert left_out == [
        "cascade.bundle: the second stage's network, except in the times of sampling"
    ]
