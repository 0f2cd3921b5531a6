"""Real parts for the tests: a run that was trained, and a bundle exported, by the commands."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine has slow moments, which are no one's defect.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

# Before TensorFlow is imported anywhere: it greets on stderr, and tests read stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

Command = Callable[..., subprocess.CompletedProcess[str]]

TINY = ("--preset=tiny", "--image_size=16", "--batch_size=8", "--warm_up_steps=5")


@pytest.fixture(scope="session")
def command() -> Command:
    """Run an installed command by name; its result, with output as text."""

    def run(name: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name(name)
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


@pytest.fixture(scope="session")
def made_once(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Where a command writes what all test processes only read; the first to ask runs it."""
    base = tmp_path_factory.getbasetemp()
    # pytest-xdist gives each process a folder inside the common one.
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, program: str, flag: str, *arguments: str) -> Path:
        with (root / f"{name}.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            if not lock.read():
                result = command(program, f"--{flag}={root / name}", *arguments)
                assert result.returncode == 0, result.stderr
                lock.write("made")
        return root / name

    return make


@pytest.fixture(scope="session")
def tiny_run(made_once: Callable[..., Path]) -> Path:
    """A run directory of 40 steps at 16×16, for tests that only read it."""
    return made_once("tiny.run", "diffkiln-train", "run_dir", *TINY, "--train_steps=40")


@pytest.fixture(scope="session")
def tiny_bundle(request: pytest.FixtureRequest) -> Path:
    """The bundle of `tiny_run`, for tests that only read it.

    DIFFKILN_TINY_BUNDLE names one that exists, for an environment without TensorFlow.
    """
    if "DIFFKILN_TINY_BUNDLE" in os.environ:
        return Path(os.environ["DIFFKILN_TINY_BUNDLE"])
    made_once, tiny_run = map(request.getfixturevalue, ("made_once", "tiny_run"))
    return made_once("tiny.bundle", "diffkiln-export", "bundle", f"--run_dir={tiny_run}")


@pytest.fixture(scope="session")
def full_bundle(made_once: Callable[..., Path], tiny_run: Path) -> Path:
    """The bundle of `tiny_run` with every graph, for tests that only read it."""
    graphs = "--graphs=sampler,from_noise,denoiser,noise,step,encode,trajectory,inpaint"
    return made_once("full.bundle", "diffkiln-export", "bundle", f"--run_dir={tiny_run}", graphs)


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
