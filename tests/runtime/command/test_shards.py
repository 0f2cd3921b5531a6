"""`--shard`: parts of a job that any scheduler can run, stop and run again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_process import run_sample
from mounts import run_mounted
from PIL import Image

from diffkiln.runtime import Sampler
from diffkiln.runtime.command.seeds import Shard, parse_shard
from diffkiln.runtime.output.folder import SETTINGS, png_name

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "diffkiln.runtime", "--device=cpu"]
STEPS = 2


def start(bundle: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, f"--bundle={bundle}", f"--out={out}", f"--steps={STEPS}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sample(bundle: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    flags = ("--device=cpu", f"--bundle={bundle}", f"--out={out}", f"--steps={STEPS}")
    return run_sample(*flags, *arguments)


def finish(bundle: Path, out: Path, *arguments: str) -> str:
    done = sample(bundle, out, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refusal(bundle: Path, out: Path, *arguments: str) -> str:
    done = sample(bundle, out, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return done.stderr


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    """What changes when a file is written again."""
    statuses = ((path.name, path.stat()) for path in folder.glob("*.png"))
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in statuses}


def assert_samples(folder: Path, bundle: Path, seeds: range) -> None:
    """Each image is its seed's, to one level: another batch adds floats in another order."""
    with Sampler(bundle, device="cpu") as sampler:
        expected = sampler.sample(list(seeds), steps=STEPS)
    for seed, image in zip(seeds, expected, strict=True):
        with Image.open(folder / png_name(seed)) as picture:
            difference = np.asarray(picture).astype(int) - image
        assert np.abs(difference).max() <= 1


@given(count=st.integers(1, 200), total=st.integers(1, 40))
def test_the_parts_in_order_are_the_whole(count: int, total: int) -> None:
    seeds = np.arange(count) + 7
    parts = [Shard(number, total).part(seeds) for number in range(1, total + 1)]
    assert np.concatenate(parts).tolist() == seeds.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_part_is_written_as_two_numbers() -> None:
    assert parse_shard("3/16") == Shard(3, 16)
    assert Shard(3, 16).file(Path("a/out.npz")) == Path("a/out-00003-of-00016.npz")


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "3", "3/", "-1/4", "1/4/4", "1/100000", ""])
def test_malformed_parts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="like 3/16"):
        parse_shard(text)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_killed_part_continues_where_it_was(tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = ("--count=600", "--seed=5", "--shard=2/3", "--max_batch=2")
    out, seeds = tmp_path / "out", range(205, 405)
    process = start(tiny_bundle, out, *arguments)
    while len(list(out.glob("*.png"))) < 10 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    finished = identities(out)
    assert 10 <= len(finished) < 200
    stdout = finish(tiny_bundle, out, *arguments)
    assert f"shard 2/3, count {200 - len(finished)}, {len(finished)} were there" in stdout
    assert names(out) == [SETTINGS, *map(png_name, seeds)]
    assert {name: identities(out)[name] for name in finished} == finished
    assert_samples(out, tiny_bundle, seeds)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_an_interrupted_part_says_how_to_continue(tiny_bundle: Path, tmp_path: Path) -> None:
    process = start(tiny_bundle, tmp_path / "out", "--count=1000000", "--shard=1/2")
    while not list((tmp_path).glob("out/*.png")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert stderr == "diffkiln-sample: interrupted; run the same command again to continue\n"
    assert not list(tmp_path.glob("out/*.tmp"))


def test_all_parts_fill_one_folder_at_once(tiny_bundle: Path, tmp_path: Path) -> None:
    parts = [
        start(tiny_bundle, tmp_path / "out", "--count=20", f"--shard={i}/3") for i in (1, 2, 3)
    ]
    results = [(part.communicate(timeout=120)[1], part.returncode) for part in parts]
    assert results == [("", 0)] * 3
    assert names(tmp_path / "out") == [SETTINGS, *map(png_name, range(20))]
    assert_samples(tmp_path / "out", tiny_bundle, range(20))


def test_half_written_images_are_made_again(tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = (tiny_bundle, tmp_path / "out", "--count=4", "--shard=1/1")
    finish(*arguments)
    before = identities(tmp_path / "out")
    cut, empty = tmp_path / "out" / png_name(1), tmp_path / "out" / png_name(2)
    cut.write_bytes(cut.read_bytes()[:-1])
    empty.write_bytes(b"")
    (tmp_path / "out" / f".{png_name(3)}-0123456789abcdef.tmp").write_bytes(b"begun")
    (tmp_path / "out" / f".{png_name(9)}-0123456789abcdef.tmp").write_bytes(b"of another part")
    assert "count 2, 2 were there" in finish(*arguments)
    after = identities(tmp_path / "out")
    assert [after[png_name(seed)] == before[png_name(seed)] for seed in range(4)] == [1, 0, 0, 1]
    assert names(tmp_path / "out")[:2] == [f".{png_name(9)}-0123456789abcdef.tmp", SETTINGS]
    assert_samples(tmp_path / "out", tiny_bundle, range(4))


def test_other_settings_and_other_files_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    (filled := tmp_path / "filled").mkdir()
    (filled / "mine.txt").touch()
    assert "holds other files" in refusal(tiny_bundle, filled, "--shard=1/2")
    finish(tiny_bundle, tmp_path / "out", "--count=2", "--shard=1/2")
    error = refusal(tiny_bundle, tmp_path / "out", "--count=2", "--shard=2/2", "--scale=3")
    assert "out: was begun with scale 1, not scale 3; use the same flags" in error
    (tmp_path / "out" / SETTINGS).write_text("{")
    assert "damaged" in refusal(tiny_bundle, tmp_path / "out", "--count=2", "--shard=2/2")
    assert names(tmp_path / "out") == [SETTINGS, png_name(0)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_any_folder_goes_on_where_it_was(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(tiny_bundle, out, "--count=300", "--max_batch=2")
    while len(list(out.glob("*.png"))) < 5 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGHUP)
    assert "run the same command again to continue" in process.communicate(timeout=60)[1]
    (out / "notes.txt").write_text("mine")  # a file that appears meanwhile costs nothing
    finished = identities(out)
    assert 5 <= len(finished) < 300
    assert f"{len(finished)} were there" in finish(tiny_bundle, out, "--count=300")
    assert names(out) == [SETTINGS, *map(png_name, range(300)), "notes.txt"]
    assert {name: identities(out)[name] for name in finished} == finished
    assert_samples(out, tiny_bundle, range(300))


def test_the_same_job_twice_at_once(tiny_bundle: Path, tmp_path: Path) -> None:
    jobs = [start(tiny_bundle, tmp_path / "out", "--count=60", "--max_batch=2") for _ in range(2)]
    assert [(job.communicate(timeout=120)[1], job.returncode) for job in jobs] == [("", 0)] * 2
    assert_samples(tmp_path / "out", tiny_bundle, range(60))


def test_a_mounted_folder_is_filled(tiny_bundle: Path, tmp_path: Path) -> None:
    (source := tmp_path / "source").mkdir()
    (target := tmp_path / "target").mkdir()
    flags = [f"--bundle={tiny_bundle}", f"--out={target}", f"--steps={STEPS}", "--count=2"]
    done = run_mounted(source, target, [*COMMAND, *flags])
    assert (done.returncode, done.stderr) == (0, "")
    assert names(source) == [SETTINGS, *map(png_name, range(2))]


def test_the_shells_own_folder_stays_itself(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    finish(tiny_bundle, Path(), "--count=1")
    assert sorted(os.listdir()) == [SETTINGS, png_name(0)]  # noqa: PTH208 (by way of the process)


def test_arrays_of_all_parts_are_those_of_the_whole(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    for number in (1, 2):
        finish(tiny_bundle, out, "--count=3", "--seed=8", f"--shard={number}/2")
    first, second = (tmp_path / f"out-0000{number}-of-00002.npz" for number in (1, 2))
    leftover = tmp_path / f".{second.name}-0123456789abcdef.tmp"
    leftover.touch()
    written = second.stat().st_mtime_ns
    assert "count 0, 2 were there" in finish(
        tiny_bundle, out, "--count=3", "--seed=8", "--shard=2/2"
    )
    assert second.stat().st_mtime_ns == written
    assert not leftover.exists()
    assert "other seeds" in refusal(tiny_bundle, out, "--count=3", "--shard=2/2")
    with np.load(first) as a, np.load(second) as b, Sampler(tiny_bundle, device="cpu") as sampler:
        assert [*a["seeds"], *b["seeds"]] == [8, 9, 10]
        images = np.concatenate([a["images"], b["images"]]).astype(int)
        assert np.abs(images - sampler.sample(3, steps=STEPS, seed=8)).max() <= 1


def test_a_part_may_have_nothing_to_do(tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = ("--count=1", "--shard=1/2")
    assert "count 0, no seeds" in finish(tiny_bundle, tmp_path / "out", *arguments)
    finish(tiny_bundle, tmp_path / "out.npz", *arguments)
    with np.load(tmp_path / "out-00001-of-00002.npz") as arrays:
        assert arrays["images"].shape == (0, 16, 16, 3)
