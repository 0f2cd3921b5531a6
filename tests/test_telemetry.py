"""Telemetry is off: nothing is kept in the home directory, and no name is looked up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from example_programs import EXAMPLES, node, npm

pytestmark = pytest.mark.slow

# The first upload, and the search for its server, come after 9 seconds.
SECONDS = 12


def run_at(home: Path, command: list[object], folder: Path | None = None) -> None:
    """Run a command as somebody would who has never heard of onnxruntime's telemetry."""
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    del environment["ORT_DISABLE_TELEMETRY"]
    subprocess.run([str(part) for part in command], env=environment, cwd=folder, check=True)


def test_a_sampler_leaves_a_home_empty_and_looks_up_nothing(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    (home := tmp_path / "home").mkdir()
    (log := tmp_path / "calls").touch()
    strace, wait = ["strace", "-f", "-qq", "-e", "trace=%network", "-o", log], SECONDS
    if not shutil.which("strace"):
        strace, wait = [], 0
    code = (
        "import time; from diffkiln.runtime import Sampler; "
        f"Sampler({str(tiny_bundle)!r}, device='cpu').sample(1, steps=1); time.sleep({wait})"
    )
    run_at(home, [*strace, sys.executable, "-c", code])
    assert (log.read_text(), list(home.iterdir())) == ("", [])


def test_openvino_leaves_a_home_empty_in_a_comparison(full_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra bench or dev")
    (home := tmp_path / "home").mkdir()
    module = "diffkiln.runtime.bench.compare.openvino"
    file = str(full_bundle / "noise.onnx")
    code = f"from {module} import infer_request; infer_request(open({file!r}, 'rb').read())"
    run_at(home, [sys.executable, "-c", code])
    assert not list(home.iterdir())


@pytest.mark.parametrize("example", ["onnxruntime", "node"])
def test_the_examples_leave_a_home_empty(tiny_bundle: Path, tmp_path: Path, example: str) -> None:
    (home := tmp_path / "home").mkdir()
    if example == "node":
        npm("node", "--version")  # installs what it needs
        command = [node(), "sample.mjs", tiny_bundle, 0, 1, 1, tmp_path / "pictures"]
    else:
        graph, picture = tiny_bundle / "sampler.onnx", tmp_path / "flowers.png"
        command = [sys.executable, "sample.py", graph, picture]
    run_at(home, command, EXAMPLES / example)
    assert not list(home.iterdir())


def test_the_exporter_turns_it_off_too_but_not_against_the_users_will() -> None:
    code = "import os, diffkiln.export; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {**os.environ}
    del environment["ORT_DISABLE_TELEMETRY"]
    for given, expected in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment | given,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected
