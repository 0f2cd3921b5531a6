"""Runs of the trainer, in this process or by the command, and what they leave behind."""

import csv
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from conftest import TINY, Command
from forked_commands import Running, start_command

from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.presets import preset_config

# The shared run's length, and how often it writes rows and checkpoints, as settings and flags.
STEPS = 30
SAVED: dict[str, Any] = {
    "log_every_steps": 1,
    "checkpoint_every_steps": 2,
    "keep_checkpoints": 2,
    "learning_rate": 0.001,
    "learning_rate_decay": "inverse_sqrt",  # which depends on all steps before
}
SAVED_FLAGS = tuple(f"--{name}={value}" for name, value in SAVED.items())


def small_config(**settings: Any) -> TrainConfig:
    """The settings of `TINY`, with these over them."""
    tiny = {"data": "synthetic:64", "image_size": 16, "batch_size": 8, "warm_up_steps": 5}
    return preset_config("tiny", **({**tiny, "widths": (16,)} | settings))


def train_here(
    run_dir: Path, *, resume: str = "auto", allow_data_change: bool = False, **settings: Any
) -> None:
    """Train `small_config` in this process, which saves the start of another one."""
    # Only here, since most of the tests that import this module do not need TensorFlow.
    from diffkiln.trainer.training.train import train

    with warnings.catch_warnings():
        # Keras's own, which the tests would turn into errors.
        warnings.simplefilter("ignore", DeprecationWarning)
        config = small_config(**settings)
        train(run_dir, config, resume=resume, allow_data_change=allow_data_change)


def train(command: Command, run_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command("diffkiln-train", f"--run_dir={run_dir}", *TINY, *arguments)


def start(run_dir: Path, *arguments: str, **settings: Any) -> Running:
    """A run in a process of its own that can be ended; `settings` are ForkedCommand's."""
    program = Path(sys.executable).with_name("diffkiln-train")
    return start_command([program, f"--run_dir={run_dir}", *TINY, *arguments], **settings)


def wait_for_rows(run_dir: Path, count: int = 1, timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while len(rows(run_dir)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rows(run_dir: Path) -> list[dict[str, str]]:
    if not (run_dir / "metrics.csv").exists():
        return []
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(run_dir: Path, file: str = "ema.weights.h5") -> dict[str, np.ndarray]:
    """All weights of a run's average by name."""
    values: dict[str, np.ndarray] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            values[name] = item[()]

    with h5py.File(run_dir / file) as content:
        content.visititems(keep)
    return values


def same_weights(one: Path, other: Path, file: str = "ema.weights.h5") -> None:
    first, second = weights(one, file), weights(other, file)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def refused(result: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """One line on stderr with these words, and the right status."""
    assert result.returncode == status
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr
