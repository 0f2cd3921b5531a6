"""Output that nobody can read, or not in this encoding, ends nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

from diffkiln.trainer.run.directory import RunDirectory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix shell"),
]

SAYS = """
import sys
from diffkiln.trainer.console import prepare_streams
prepare_streams()
print("3\\u00d73", flush=True)
print("4\\u00d74", file=sys.stderr, flush=True)
open(sys.argv[1], "w").write("reached")
"""
ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def shell(command: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command, "sh", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "streams", [">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full", "| true"]
)
def test_streams_without_a_reader(streams: str, tmp_path: Path) -> None:
    done = tmp_path / "done"
    shell(f'"$@" {streams}', sys.executable, "-c", SAYS, done, **ASCII)
    assert done.read_text() == "reached"


def test_an_encoding_without_the_character(tmp_path: Path) -> None:
    result = shell('"$@"', sys.executable, "-c", SAYS, tmp_path / "done", **ASCII)
    assert (result.stdout, result.stderr) == ("3\\xd73\n", "4\\xd74\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_is_written_comes_in_order(tmp_path: Path, unbuffered: str) -> None:
    program = SAYS.replace(", file=sys.stderr, flush=True", ", end='\\n', file=sys.stderr") + (
        "print('last', flush=True)"
    )
    result = shell(
        '"$@" 2>&1',
        *(sys.executable, "-c", program, tmp_path / "done"),
        PYTHONUNBUFFERED=unbuffered,
    )
    assert result.stdout == "3×3\n4×4\nlast\n"


def test_a_run_heeds_neither_closed_streams_nor_settings_of_keras_for_others(
    tmp_path: Path,
) -> None:
    others = {"backend": "torch", "image_data_format": "channels_first", "floatx": "float64"}
    (tmp_path / "keras.json").write_text(json.dumps(others))
    program, run = Path(sys.executable).with_name("diffkiln-train"), tmp_path / "r"
    arguments = (f"--run_dir={run}", *TINY, "--train_steps=1")
    environment = {**ASCII, "KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "jax"}
    result = shell('"$@" >&- 2>&-', program, *arguments, **environment)
    assert result.returncode == 0
    assert RunDirectory(run).checkpoint_steps() == [1]
