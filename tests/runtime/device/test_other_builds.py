"""The runtime with the other builds of onnxruntime, each in an environment of its own.

They own the same module, so only one can be in an environment; `make test` has all of them.
"""

import os
import subprocess
from pathlib import Path

import pytest

FILES = {
    "gpu": ("test_device.py", "test_providers.py", "test_loading.py", "test_binding.py"),
    "openvino": ("test_openvino.py", "test_providers.py", "test_sampler.py"),
}


@pytest.mark.parametrize("build", FILES)
def test_the_runtime_with_another_build(build: str, tiny_bundle: Path, class_bundle: Path) -> None:
    python = os.environ.get(f"DIFFKILN_{build.upper()}_PYTHON")
    if not python:
        pytest.skip(f"set DIFFKILN_{build.upper()}_PYTHON to a Python with onnxruntime-{build}")
    files = [str(Path(__file__).with_name(name)) for name in FILES[build]]
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
