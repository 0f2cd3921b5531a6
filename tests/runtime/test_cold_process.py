"""A fresh process that samples loads no training library, and loads no more than it needs."""

import os
import subprocess
import sys
from pathlib import Path

HEAVY = "('tensorflow', 'keras', 'onnx', 'tf2onnx', 'matplotlib', 'diffkiln.trainer')"


def modules_after(code: str, modules: str, folder: Path) -> str:
    code = f"import sys; {code}; print([name for name in {modules} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True
    )
    return done.stdout.strip()


def test_the_import_is_light(tmp_path: Path) -> None:
    assert modules_after("import diffkiln.runtime", HEAVY, tmp_path) == "[]"
    commands = "import diffkiln.runtime.command.sample, diffkiln.runtime.bench.benchmark"
    unneeded = "('onnxruntime', 'PIL', 'matplotlib')"
    assert modules_after(commands, unneeded, tmp_path) == "[]"


def test_sampling_is_light(tiny_bundle: Path, tmp_path: Path) -> None:
    code = (
        "from diffkiln.runtime import Sampler; "
        f"Sampler({str(tiny_bundle)!r}, device='cpu').sample(1, steps=1)"
    )
    assert modules_after(code, HEAVY, tmp_path) == "[]"


def test_the_schema_is_compiled_once(tiny_bundle: Path, tmp_path: Path) -> None:
    code = (
        "import fastjsonschema; made = []; compiled = fastjsonschema.compile_to_code; "
        "fastjsonschema.compile_to_code = lambda *a, **k: made.append(1) or compiled(*a, **k); "
        "from diffkiln.runtime import open_bundle; "
        f"open_bundle({str(tiny_bundle)!r}); print(len(made))"
    )
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    counts = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert counts == ["1", "0"]


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path) -> None:
    # None in sys.modules is how Python itself marks a module as not to be imported.
    code = "import sys; sys.modules['onnxruntime'] = None; from diffkiln.runtime import Sampler"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert "LibraryError: onnxruntime cannot be imported" in done.stderr
    assert "run pip install 'diffkiln[cpu]' or pip install 'diffkiln[gpu]'" in done.stderr
