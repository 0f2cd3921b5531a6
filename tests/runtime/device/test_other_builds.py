"""The runtime with the other builds of onnxruntime, each in an environment of its own.

All builds are the same module, so an environment can have only one of them.
"""

import os
import subprocess
from pathlib import Path

import pytest

FILES = {
    "gpu": (
        "device/test_device.py",
        "device/test_providers.py",
        "engine/test_session.py",
        "engine/test_binding.py",
    ),
    "openvino": ("device/test_openvino.py", "device/test_providers.py", "test_sampler.py"),
}
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("build", FILES)
def test_the_runtime_with_another_build(build: str, tiny_bundle: Path, class_bundle: Path) -> None:
    python = os.environ.get(f"DIFFKILN_{build.upper()}_PYTHON")
    if not python:
        pytest.skip(f"set DIFFKILN_{build.upper()}_PYTHON to a Python with onnxruntime-{build}")
    files = [str(TESTS / name) for name in FILES[build]]
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        env={
            **os.environ,
            "DIFFKILN_TINY_BUNDLE": str(tiny_bundle),
            "DIFFKILN_CLASS_BUNDLE": str(class_bundle),
        },
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
