"""Real parts for the tests: runs that were trained, bundles that were exported, the commands.

The golden bundles in tests/golden need no TensorFlow. What starts a process, trains or exports is
marked `slow`: `make check` leaves it out, and no other test may start a process.
"""

import gc
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from forked_commands import run_command
from hypothesis import settings

# A shared machine has slow moments, which are no one's defect.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

# Before TensorFlow is imported anywhere: it greets on stderr, and tests read stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# On some processors TensorFlow leaves it off, and then lacks layers with channels first.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Some tests import onnxruntime before diffkiln.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Python starts a process to find it out, once; importing h5py asks for it.
platform.processor()
# The commands leave SIGHUP alone if they begin under nohup, as the tests themselves may.
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# A shell lets its background jobs, and all that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Command = Callable[..., subprocess.CompletedProcess[str]]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]

GOLDEN = Path(__file__).with_name("golden")
# The tiny preset made smaller: few flowers to paint, and one level of blocks, since a network takes
# longer to trace than to train.
DATA = "--data=synthetic:64"
SIZES = ("--image_size=16", "--batch_size=8", "--widths=16")
TINY = ("--preset=tiny", DATA, *SIZES, "--warm_up_steps=5")

_STARTS_A_PROCESS = ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.system")
_may_start = True


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in _STARTS_A_PROCESS and not _may_start:
        raise RuntimeError(f"{event} in a test that is not marked slow: {str(arguments)[:200]}")


sys.addaudithook(_audit)


def pytest_configure() -> None:
    """Give each of several test processes one core, so that no library's threads get in the way."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


def pytest_collection_finish() -> None:
    """Spare the garbage collector what was imported, such as the million objects of TensorFlow."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs a command, needs what a command makes, or is tested on a GPU alone."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if SLOW_FIXTURES & fixtures or item.get_closest_marker("gpu"):
            item.add_marker("slow")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test and its fixtures start a process only if it is marked slow."""
    global _may_start
    _may_start = item.get_closest_marker("slow") is not None
    try:
        return (yield)
    finally:
        _may_start = True


@pytest.fixture(scope="session")
def command() -> Command:
    """Run an installed command by name; its result, with output as text."""

    def run(name: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name(name)
        if name in ("diffkiln-train", "diffkiln-export"):
            return run_command([program, *arguments], timeout)
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Where something is that all test processes only read; the first to ask for it writes it."""
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each process a folder inside the common one.
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, write: Callable[[Path], object]) -> Path:
        done = root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                write(root / name)
                done.touch()
        return root / name

    return make


@pytest.fixture(scope="session")
def tiny_run(command: Command, made_once: MadeOnce) -> Path:
    """A run directory of 40 steps at 16×16, for tests that only read it."""

    def write(path: Path) -> None:
        result = command("diffkiln-train", f"--run_dir={path}", *TINY, "--train_steps=40")
        assert result.returncode == 0, result.stderr

    return made_once("tiny.run", write)


@pytest.fixture(scope="session")
def full_bundle() -> Path:
    """A bundle of 16×16 images with every ONNX graph, for tests that only read it."""
    return GOLDEN / "full.bundle"


@pytest.fixture(scope="session")
def class_bundle() -> Path:
    """A bundle that knows ten classes, for tests that only read it."""
    return GOLDEN / "classes.bundle"


@pytest.fixture(scope="session")
def conditions_bundle() -> Path:
    """A bundle with three conditions and every ONNX graph, for tests that only read it."""
    return GOLDEN / "conditions.bundle"


@pytest.fixture(scope="session")
def sketches_bundle() -> Path:
    """A bundle with ten classes and one condition, for tests that only read it."""
    return GOLDEN / "sketches.bundle"


@pytest.fixture(scope="session")
def fresh_bundle() -> Path:
    """A bundle of floats with fresh noise in each step, for tests that only read it."""
    return GOLDEN / "fresh.bundle"


@pytest.fixture(scope="session")
def enlarging_bundle() -> Path:
    """A bundle that draws pictures of 32×24 from halves, for tests that only read it."""
    return GOLDEN / "enlarging.bundle"


@pytest.fixture(scope="session")
def painting_bundle() -> Path:
    """A bundle whose network is told photographs and masks, for tests that only read it."""
    return GOLDEN / "painting.bundle"


@pytest.fixture(scope="session")
def learned_bundle() -> Path:
    """A bundle with classes and learned tables of 2 and 5 steps, for tests that only read it."""
    return GOLDEN / "learned.bundle"


@pytest.fixture(scope="session")
def guided_bundle() -> Path:
    """A bundle with classes whose network takes the guidance, for tests that only read it."""
    return GOLDEN / "guided.bundle"


@pytest.fixture(scope="session")
def arrays_bundle() -> Path:
    """A bundle of arrays [13, 3] with two classes, for tests that only read it."""
    return GOLDEN / "arrays.bundle"


@pytest.fixture(scope="session")
def latents_bundle() -> Path:
    """A bundle of a latent model with an encoder, of 16×16 images, for tests that only read it."""
    return GOLDEN / "latents.bundle"


@pytest.fixture(scope="session")
def tiny_bundle(made_once: MadeOnce) -> Path:
    """`full_bundle` with the graphs of a default export alone, for tests that only read it."""

    def write(path: Path) -> None:
        shutil.copytree(GOLDEN / "full.bundle", path)
        manifest = json.loads((path / "bundle.json").read_text(encoding="utf-8"))
        for name in ("encode", "trajectory", "inpaint"):
            (path / f"{name}.onnx").unlink()
            del manifest["graphs"][name], manifest["files"][f"{name}.onnx"]
        (path / "bundle.json").write_text(json.dumps(manifest), encoding="utf-8")

    return made_once("tiny.bundle", write)


@pytest.fixture(scope="session")
def saved_bundle(made_once: MadeOnce) -> Path:
    """`full_bundle` with a SavedModel, for tests that only read it."""
    return made_once("saved.bundle", partial(_saved, "full.bundle"))


@pytest.fixture(scope="session")
def saved_class_bundle(made_once: MadeOnce) -> Path:
    """`class_bundle` with a SavedModel and LiteRT files, for tests that only read it."""
    return made_once("saved-classes.bundle", partial(_saved, "classes.bundle", litert=True))


@pytest.fixture(scope="session")
def saved_arrays_bundle(made_once: MadeOnce) -> Path:
    """`arrays_bundle` with a SavedModel and LiteRT files, for tests that only read it."""
    graphs = ("sampler", "noise", "step")  # LiteRT has no trajectory
    return made_once(
        "saved-arrays.bundle", partial(_saved, "arrays.bundle", litert=True, graphs=graphs)
    )


def _saved(name: str, path: Path, **settings: Any) -> None:
    from golden_bundles import make  # which imports TensorFlow

    make(name, path, saved_model=True, **settings)


SLOW_FIXTURES = {
    *("command", "saved_bundle", "saved_class_bundle", "saved_arrays_bundle", "tiny_run"),
}


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle that a test may spoil."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy.bundle"))


@pytest.fixture(scope="session")
def flowers_dir() -> Path:
    """Where Oxford Flowers 102 lies prepared for tensorflow-datasets."""
    folder = os.environ.get("DIFFKILN_DATA_DIR")
    if not folder:
        pytest.skip("set DIFFKILN_DATA_DIR to a folder with oxford_flowers102 prepared for TFDS")
    return Path(folder)
