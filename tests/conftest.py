"""Real parts for the tests: a run that was trained, and a bundle exported, by the commands."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from forked_commands import run_forked
from hypothesis import settings

# A shared machine has slow moments, which are no one's defect.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

# Before TensorFlow is imported anywhere: it greets on stderr, and tests read stderr.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

Command = Callable[..., subprocess.CompletedProcess[str]]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]

# To paint all 2,048 flowers would take a third of such a run's time.
DATA = "--data=synthetic:64"
TINY = ("--preset=tiny", DATA, "--image_size=16", "--batch_size=8", "--warm_up_steps=5")


@pytest.fixture(scope="session")
def command() -> Command:
    """Run an installed command by name; its result, with output as text."""

    def run(name: str, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name(name)
        if name in ("diffkiln-train", "diffkiln-export"):
            return run_forked(program, arguments, timeout)
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
        with (root / f"{name}.lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            if not lock.read():
                write(root / name)
                lock.write("made")
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
def exported(command: Command, made_once: MadeOnce, tiny_run: Path) -> Callable[..., Path]:
    """Export `tiny_run` under a name, with these flags; the bundle."""

    def export(name: str, *flags: str) -> Path:
        def write(path: Path) -> None:
            result = command("diffkiln-export", f"--run_dir={tiny_run}", f"--bundle={path}", *flags)
            assert result.returncode == 0, result.stderr

        return made_once(name, write)

    return export


@pytest.fixture(scope="session")
def tiny_bundle(request: pytest.FixtureRequest) -> Path:
    """The bundle of `tiny_run`, for tests that only read it.

    DIFFKILN_TINY_BUNDLE names one that exists, for an environment without TensorFlow, as
    DIFFKILN_CLASS_BUNDLE does for `class_bundle`.
    """
    if "DIFFKILN_TINY_BUNDLE" in os.environ:
        return Path(os.environ["DIFFKILN_TINY_BUNDLE"])
    return request.getfixturevalue("exported")("tiny.bundle")


@pytest.fixture(scope="session")
def full_bundle(exported: Callable[..., Path]) -> Path:
    """The bundle of `tiny_run` with every graph, for tests that only read it."""
    graphs = "sampler,from_noise,denoiser,noise,step,encode,trajectory,inpaint"
    return exported("full.bundle", f"--graphs={graphs}")


@pytest.fixture(scope="session")
def class_bundle(command: Command, made_once: MadeOnce) -> Path:
    """A bundle that knows the species of synthetic flowers, for tests that only read it."""
    if "DIFFKILN_CLASS_BUNDLE" in os.environ:
        return Path(os.environ["DIFFKILN_CLASS_BUNDLE"])
    training = (*TINY, "--num_classes=10", "--train_steps=40")
    # Trained so briefly, it shows too little of a class at the usual guidance for tests to see.
    baking = ("--graphs=sampler,from_noise,noise,step,encode,inpaint", "--default_guidance=20")

    def write(path: Path) -> None:
        run = f"--run_dir={path.with_suffix('.run')}"
        for name, flags in (
            ("diffkiln-train", training),
            ("diffkiln-export", (f"--bundle={path}", *baking)),
        ):
            done = command(name, run, *flags)
            assert done.returncode == 0, done.stderr

    return made_once("classes.bundle", write)


@pytest.fixture(scope="session")
def fresh_bundle(made_once: MadeOnce) -> Path:
    """A bundle of floats with fresh noise in each step, for tests that only read it."""
    # Only here, since some environments have no TensorFlow.
    from small_models import small_bundle

    graphs = ("sampler", "noise", "step")
    write = partial(small_bundle, graphs=graphs, eta=0.7, image_dtype="float32")
    return made_once("fresh.bundle", write)


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
