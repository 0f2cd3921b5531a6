"""Runs a command that finds a file or a folder mounted, as in a container."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_SCRIPT = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'


def run_mounted(
    source: Path, target: Path, command: Sequence[object]
) -> subprocess.CompletedProcess[str]:
    """Run a command for which `target` is `source`, mounted; skip the test if none may mount."""
    namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c", _SCRIPT, "sh"]
    if not shutil.which("unshare") or _run([*namespace, source, target, "true"]).returncode:
        pytest.skip("this user may mount nothing")
    return _run([*namespace, source, target, *command])


def _run(command: Sequence[object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
