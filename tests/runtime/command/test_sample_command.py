"""`diffkiln-sample`: what it writes, and how it fails."""

import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from in_process import run_sample
from PIL import Image

from diffkiln.runtime import Sampler
from diffkiln.runtime.command.program import Command, device_discovery_hidden
from diffkiln.runtime.command.sample import COMMAND
from diffkiln.runtime.output.images import grid

COMMAND_LINE = [sys.executable, "-m", "diffkiln.runtime"]


def sample(bundle: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_sample(f"--bundle={bundle}", f"--out={out}", "--device=cpu", *arguments)


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.slow
def test_a_png_is_a_grid_of_the_samples(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    flags = [f"--bundle={tiny_bundle}", f"--out={out}", "--count=3", "--steps=2", "--seed=5"]
    done = subprocess.run([*COMMAND_LINE, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert f"wrote {out}: count 3, seeds 5 to 7, steps 2, device c" in done.stdout
    if Path("/proc/driver/nvidia").exists() and "device cuda" not in done.stdout:
        assert done.stderr.startswith("diffkiln-sample: using the CPU although there is an NVIDIA")
    else:
        assert not done.stderr
    expected = grid(Sampler(tiny_bundle, device="cpu").sample(3, steps=2, seed=5)).astype(int)
    # A GPU adds floats in another order.
    assert np.abs(read(out) - expected).max() <= ("device cuda" in done.stdout)


def test_one_image_stands_alone_and_is_enlarged(tiny_bundle: Path, tmp_path: Path) -> None:
    done = sample(tiny_bundle, tmp_path / "a.png", "--count=1", "--steps=2", "--scale=3")
    assert done.returncode == 0, done.stderr
    image = Sampler(tiny_bundle, device="cpu").sample(1, steps=2)[0]
    assert np.array_equal(read(tmp_path / "a.png")[1::3, 1::3], image)


def test_a_shared_machine_gets_the_same_images(tiny_bundle: Path, tmp_path: Path) -> None:
    done = sample(tiny_bundle, tmp_path / "a.png", "--count=2", "--steps=2", "--low_power")
    assert (done.returncode, done.stderr) == (0, "")
    expected = grid(Sampler(tiny_bundle, device="cpu").sample(2, steps=2))
    assert np.array_equal(read(tmp_path / "a.png"), expected)


def test_a_gif_shows_every_step(tiny_bundle: Path, tmp_path: Path) -> None:
    done = sample(tiny_bundle, tmp_path / "a.gif", "--count=2", "--steps=4")
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "a.gif") as animation:
        assert getattr(animation, "n_frames", 1) == 4


def test_a_folder_holds_a_png_per_seed(tiny_bundle: Path, tmp_path: Path) -> None:
    done = sample(tiny_bundle, tmp_path / "out", "--count=3", "--steps=1", "--max_batch=2")
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [".diffkiln.json", "00000000.png", "00000001.png", "00000002.png"]


def test_help_and_version() -> None:
    assert "diffkiln-sample --bundle=flowers.bundle" in run_sample("--help").stdout
    assert run_sample("--version").stdout.startswith("diffkiln-sample ")


def test_only_the_search_for_a_gpu_is_silenced(capfd: pytest.CaptureFixture[str]) -> None:
    with device_discovery_hidden():
        os.write(2, b"kept\n[W] device_discovery.cc: lost\n")
    stderr = capfd.readouterr().err
    assert stderr.splitlines()[0] == "kept"
    assert ("lost" in stderr) == (sys.platform != "linux")


@pytest.mark.slow
def test_a_path_that_the_terminal_cannot_print(tiny_bundle: Path, tmp_path: Path) -> None:
    flags = [f"--bundle={tiny_bundle}", "--count=1", "--steps=1", f"--out={tmp_path / 'ü.png'}"]
    done = subprocess.run(
        [*COMMAND_LINE, *flags, "--device=cpu"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"wrote {tmp_path}/\\xfc.png: count 1" in done.stdout


def assert_one_line(done: subprocess.CompletedProcess[str], status: int, message: str) -> None:
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("diffkiln-sample: ")
    assert message in done.stderr


@pytest.mark.slow
def test_wrong_usage(tiny_bundle: Path, tmp_path: Path) -> None:
    flags = [f"--bundle={tiny_bundle}", f"--out={tmp_path / 'a.png'}", "--count=0"]
    done = subprocess.run([*COMMAND_LINE, *flags], capture_output=True, text=True, check=False)
    assert_one_line(done, 2, "--count=0: expected")
    assert_one_line(sample(tiny_bundle, tmp_path / "a.bmp"), 2, "a.bmp: expected a .png")
    assert not list(tmp_path.iterdir())


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="defect"):
        Command("program", "", "", (), lambda _: print(int("defect"))).run([])


def test_a_system_without_polite_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGTERM")
    monkeypatch.setattr(sys, "argv", ["diffkiln-sample", "--version"])
    assert COMMAND.main() == 0
    gc.unfreeze()


def test_a_missing_bundle(tmp_path: Path) -> None:
    done = sample(tmp_path / "nowhere", tmp_path / "a.png")
    assert_one_line(done, 1, "nowhere does not exist; expected the folder")


def test_a_damaged_bundle_leaves_nothing(bundle_copy: Path, tmp_path: Path) -> None:
    (bundle_copy / "sampler.onnx").write_bytes(b"short")
    (out := tmp_path / "out").mkdir()
    assert_one_line(sample(bundle_copy, out / "a.png"), 1, "has 5 bytes, expected")
    assert_one_line(sample(bundle_copy, out / "folder"), 1, "has 5 bytes, expected")
    assert not list(out.iterdir())


def test_a_file_that_is_not_a_graph(bundle_copy: Path, tmp_path: Path) -> None:
    (bundle_copy / "sampler.onnx").write_bytes(b"short")
    manifest = json.loads((bundle_copy / "bundle.json").read_text())
    digest = hashlib.sha256(b"short").hexdigest()
    manifest["files"]["sampler.onnx"] = {"sha256": digest, "bytes": 5}
    (bundle_copy / "bundle.json").write_text(json.dumps(manifest))
    done = sample(bundle_copy, tmp_path / "a.png")
    assert_one_line(done, 1, "sampler.onnx has no seal")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_an_interruption_leaves_nothing(tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    number = getattr(signal, name)
    process = begin(tiny_bundle, tmp_path / "out.npz", number)
    process.send_signal(number)
    stderr = process.communicate(timeout=60)[1]
    assert (process.returncode, stderr.count("\n")) == (128 + number, 1)
    assert "interrupted; nothing was written" in stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_nohup_keeps_it_running(tiny_bundle: Path, tmp_path: Path) -> None:
    process = begin(tiny_bundle, tmp_path / "out.npz", signal.SIGHUP, signal.SIG_IGN)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


def begin(
    bundle: Path, out: Path, number: int, handler: signal.Handlers = signal.SIG_DFL
) -> subprocess.Popen[str]:
    """Begin a long job; returns once it writes. `handler` is what it is told of a signal."""
    process = subprocess.Popen(
        [*COMMAND_LINE, f"--bundle={bundle}", f"--out={out}", "--device=cpu", "--count=1000000"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's jobs in the background ignore interruptions, and would hand that down.
        preexec_fn=lambda: signal.signal(number, handler),
    )
    deadline = time.monotonic() + 60
    while not list(out.parent.glob(".*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.01)
    return process
