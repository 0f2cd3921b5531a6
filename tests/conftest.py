"""Real parts for the tests: a run that was trained, and a bundle exported, by the commands."""

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
def tiny_run(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory of 40 steps at 16×16, for tests that only read it."""
    run_dir = tmp_path_factory.mktemp("run") / "tiny"
    result = command("diffkiln-train", f"--run_dir={run_dir}", *TINY, "--train_steps=40")
    assert result.returncode == 0, result.stderr
    return run_dir


@pytest.fixture(scope="session")
def tiny_bundle(request: pytest.FixtureRequest, command: Command) -> Path:
    """The bundle of `tiny_run`, for tests that only read it.

    DIFFKILN_TINY_BUNDLE names one that exists, for an environment without TensorFlow.
    """
    if "DIFFKILN_TINY_BUNDLE" in os.environ:
        return Path(os.environ["DIFFKILN_TINY_BUNDLE"])
    tiny_run: Path = request.getfixturevalue("tiny_run")
    bundle = tiny_run.with_name("tiny.bundle")
    result = command("diffkiln-export", f"--run_dir={tiny_run}", f"--bundle={bundle}")
    assert result.returncode == 0, result.stderr
    return bundle


@pytest.fixture(scope="session")
def full_bundle(command: Command, tiny_run: Path) -> Path:
    """The bundle of `tiny_run` with every graph, for tests that only read it."""
    bundle = tiny_run.with_name("full.bundle")
    graphs = "sampler,from_noise,denoiser,noise,step,encode,trajectory,inpaint"
    result = command(
        "diffkiln-export", f"--run_dir={tiny_run}", f"--bundle={bundle}", f"--graphs={graphs}"
    )
    assert result.returncode == 0, result.stderr
    return bundle


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
