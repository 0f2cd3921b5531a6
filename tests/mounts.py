"""Runs a command that finds a file, a folder or a small disk mounted, as in a container."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_BIND = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
_DISK = 'mount -t tmpfs -o "size=$1m" tmpfs "$2" && shift 2 && exec "$@"'


def run_mounted(
    source: Path, target: Path, command: Sequence[object]
) -> subprocess.CompletedProcess[str]:
    """Run a command for which `target` is `source`, mounted; skip the test if none may mount."""
    return _run_namespace(_BIND, source, target, command)


def run_on_small_disk(
    folder: Path, size_mb: int, command: Sequence[object]
) -> subprocess.CompletedProcess[str]:
    """Run a command for which `folder` is a new, empty disk of `size_mb`; skip as above."""
    return _run_namespace(_DISK, size_mb, folder, command)


def _run_namespace(
    script: str, source: object, target: Path, command: Sequence[object]
) -> subprocess.CompletedProcess[str]:
    namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if not shutil.which("unshare") or _run([*namespace, source, target, "true"]).returncode:
        pytest.skip("this user may mount nothing")
    return _run([*namespace, source, target, *command])


def _run(command: Sequence[object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
