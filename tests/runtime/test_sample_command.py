"""`diffkiln-sample` in a real process: what it writes, and how it fails."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffkiln.runtime import Bundle, BundleError, Sampler
from diffkiln.runtime.cli import OPTIONS
from diffkiln.runtime.device import _gpu_count
from diffkiln.runtime.images import grid
from diffkiln.runtime.options import parse_options
from diffkiln.runtime.request import checked_request

COMMAND = [sys.executable, "-m", "diffkiln.runtime"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def sample(bundle: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(f"--bundle={bundle}", f"--out={out}", "--device=cpu", *arguments)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_png_is_a_grid_of_the_samples(tiny_bundle: Path, tmp_path: Path) -> None:
    done = sample(tiny_bundle, tmp_path / "a.png", "--count=3", "--steps=2", "--seed=5")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"wrote {tmp_path / 'a.png'}: count 3, seeds 5 to 7, steps 2, device cpu" in done.stdout
    expected = grid(Sampler(tiny_bundle, device="cpu").sample(3, steps=2, seed=5))
    assert np.array_equal(read(tmp_path / "a.png"), expected)


def test_one_image_stands_alone_and_is_enlarged(tiny_bundle: Path, tmp_path: Path) -> None:
    done = sample(tiny_bundle, tmp_path / "a.png", "--count=1", "--steps=2", "--scale=3")
    assert done.returncode == 0, done.stderr
    image = Sampler(tiny_bundle, device="cpu").sample(1, steps=2)[0]
    assert np.array_equal(read(tmp_path / "a.png")[1::3, 1::3], image)


def test_a_gif_shows_every_step(tiny_bundle: Path, tmp_path: Path) -> None:
    done = sample(tiny_bundle, tmp_path / "a.gif", "--count=2", "--steps=4")
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "a.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 4


def test_a_folder_holds_a_png_per_seed(tiny_bundle: Path, tmp_path: Path) -> None:
    done = sample(tiny_bundle, tmp_path / "out", "--count=3", "--steps=1", "--max_batch=2")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["00000000.png", "00000001.png", "00000002.png"]


def test_auto_is_silent_without_a_gpu(tiny_bundle: Path, tmp_path: Path) -> None:
    done = run(f"--bundle={tiny_bundle}", f"--out={tmp_path / 'a.png'}", "--count=1", "--steps=1")
    assert done.returncode == 0
    although = "diffkiln-sample: using the CPU although there is an NVIDIA GPU: "
    gpu_is_unused = bool(_gpu_count()) and "device cuda" not in done.stdout
    assert done.stderr.startswith(although) if gpu_is_unused else not done.stderr


def test_help_and_version() -> None:
    assert "diffkiln-sample --bundle=flowers.bundle" in run("--help").stdout
    assert run("--version").stdout.startswith("diffkiln-sample ")


def test_only_the_search_for_a_gpu_is_silenced() -> None:
    code = (
        "import os; from diffkiln.runtime.command import device_discovery_hidden\n"
        "with device_discovery_hidden(): os.write(2, b'kept\\n[W] device_discovery.cc: lost\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[0] == "kept"
    assert ("lost" in done.stderr) == (sys.platform != "linux")


def assert_one_line(done: subprocess.CompletedProcess[str], status: int, message: str) -> None:
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("diffkiln-sample: ")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count=0"], "--count=0: expected a whole number"),
        (["--steps=0"], "--steps=0: expected a whole number"),
        (["--steps=999999"], "--steps=999999: expected at most"),
        (
            ["--count=5000"],
            "would show 5000 images, expected at most 4096; give --out a folder",
        ),
        (["--count=4000", "--scale=64"], "expected at most 268435456 pixels in all; lower"),
        (["--seed=9223372036854775800"], "--seed=9223372036854775800: expected at most 2**63"),
        (["--colour=red"], "--colour=red: unknown flag"),
        (["stray"], "stray: expected only flags"),
    ],
)
def test_wrong_usage(tiny_bundle: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    assert_one_line(sample(tiny_bundle, tmp_path / "a.png", *arguments), 2, message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("a.jpg", "expected a .png, .gif or .npz, or a folder without a dot"),
        (".png", "expected a .png, .gif or .npz, or a folder without a dot"),
        ("flowers.v2", "expected a .png, .gif or .npz, or a folder without a dot"),
        ("no/a.png", "expected a path in an existing folder; create"),
        ("full", "exists, expected a new or empty folder"),
        ("folder.png", "is a folder or a device, expected a file"),
    ],
)
def test_wrong_outputs(tiny_bundle: Path, tmp_path: Path, out: str, message: str) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    assert_one_line(sample(tiny_bundle, tmp_path / out), 2, message)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "full"]


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_no_picture_has(tmp_path: Path, channels: int) -> None:
    bundle = Bundle(tmp_path, (8, 8, channels), "uint8", default_steps=1, max_steps=1, graphs={})
    values = parse_options(OPTIONS, ["--bundle=b", f"--out={tmp_path / 'a.png'}"])
    with pytest.raises(BundleError, match=f"images have {channels} channels, expected 1, 3 or 4"):
        checked_request(values, bundle)


def test_a_defect_keeps_its_traceback() -> None:
    code = (
        "from diffkiln.runtime.command import Command; "
        "Command('program', '', '', (), lambda values: int('defect')).main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")


def test_a_missing_bundle(tmp_path: Path) -> None:
    done = sample(tmp_path / "nowhere", tmp_path / "a.png")
    assert_one_line(done, 1, "nowhere does not exist; expected the folder")


def test_a_damaged_bundle_leaves_nothing(bundle_copy: Path, tmp_path: Path) -> None:
    (bundle_copy / "sampler.onnx").write_bytes(b"short")
    (out := tmp_path / "out").mkdir()
    assert_one_line(sample(bundle_copy, out / "a.png"), 1, "has 5 bytes, expected")
    assert_one_line(sample(bundle_copy, out / "folder"), 1, "has 5 bytes, expected")
    assert not list(out.iterdir())


def test_a_graph_that_is_none(bundle_copy: Path, tmp_path: Path) -> None:
    (bundle_copy / "sampler.onnx").write_bytes(b"short")
    manifest = json.loads((bundle_copy / "bundle.json").read_text())
    digest = hashlib.sha256(b"short").hexdigest()
    manifest["files"]["sampler.onnx"] = {"sha256": digest, "bytes": 5}
    (bundle_copy / "bundle.json").write_text(json.dumps(manifest))
    done = sample(bundle_copy, tmp_path / "a.png")
    assert_one_line(done, 1, "sampler.onnx has no seal")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_an_interruption_leaves_nothing(tiny_bundle: Path, tmp_path: Path, number: int) -> None:
    arguments = [f"--bundle={tiny_bundle}", f"--out={tmp_path / 'out'}", "--device=cpu"]
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--count=1000000"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's jobs in the background ignore interruptions, and would hand that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not list(tmp_path.glob(".*.tmp/*.png")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        stderr = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert (process.returncode, stderr.count("\n")) == (128 + number, 1)
    assert "interrupted; nothing was written" in stderr
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*.tmp"))
