"""A fresh process that samples loads no training library, and loads no more than it needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HEAVY = "('tensorflow', 'keras', 'onnx', 'tf2onnx', 'matplotlib', 'diffkiln.trainer')"


def modules_after(code: str, modules: str, folder: Path) -> str:
    code = f"import sys; {code}; print([name for name in {modules} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=True
    )
    return done.stdout.strip()


def test_the_import_of_the_commands_is_light(tmp_path: Path) -> None:
    code = "import diffkiln.runtime.command.sample, diffkiln.runtime.bench.benchmark"
    unneeded = f"({HEAVY[1:-1]}, 'onnxruntime', 'PIL', 'tqdm')"
    assert modules_after(code, unneeded, tmp_path) == "[]"


def test_flags_are_checked_before_onnxruntime_is_imported(tmp_path: Path) -> None:
    # None in sys.modules is how Python itself marks a module as not to be imported.
    code = (
        "import sys; sys.modules['onnxruntime'] = None; "
        "from diffkiln.runtime.command.sample import COMMAND; "
        "print([COMMAND.run(flags.split()) for flags in sys.argv[1:]])"
    )
    wrong = ["--out=a.png --steps=9999", "--out=a.bmp", "--out=a.png --label=x", "--out=a.png"]
    done = subprocess.run(
        [sys.executable, "-c", code, *wrong],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.strip() == "[2, 2, 2, 1]"
    *_, last = done.stderr.splitlines()
    assert "onnxruntime cannot be imported" in last
    assert "run pip install onnxruntime, or for an NVIDIA GPU pip install onnxruntime-gpu" in last


def test_ctrl_c_in_the_import_is_no_missing_package(tmp_path: Path) -> None:
    # Native code that is interrupted while it is imported raises this.
    lines = ["try: raise KeyboardInterrupt", "except BaseException as error:"]
    lines += ["    raise ImportError('initialization failed') from error"]
    (tmp_path / "onnxruntime.py").write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-m", "diffkiln.runtime", f"--out={tmp_path / 'a.png'}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    interrupted = "diffkiln-sample: interrupted; nothing was written\n"
    assert (done.returncode, done.stderr) == (130, interrupted)


def test_sampling_is_light(tiny_bundle: Path, tmp_path: Path) -> None:
    code = (
        "from diffkiln.runtime import Sampler; "
        f"Sampler({str(tiny_bundle)!r}, device='cpu').sample(1, steps=1)"
    )
    assert modules_after(code, HEAVY, tmp_path) == "[]"


def test_the_schema_is_compiled_once(tiny_bundle: Path, tmp_path: Path) -> None:
    code = (
        "import fastjsonschema; count = []; compiled = fastjsonschema.compile_to_code; "
        "fastjsonschema.compile_to_code = lambda *a, **k: count.append(1) or compiled(*a, **k); "
        "from diffkiln.runtime import open_bundle; "
        f"open_bundle({str(tiny_bundle)!r}); print(len(count))"
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
