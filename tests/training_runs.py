"""Runs of the trainer, and what they leave behind."""

import csv
import subprocess
from pathlib import Path

import h5py
import numpy as np
from conftest import TINY, Command


def weights(run_dir: Path) -> dict[str, np.ndarray]:
    """All weights of a run's average by name."""
    found: dict[str, np.ndarray] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(run_dir / "ema.weights.h5") as file:
        file.visititems(keep)
    return found


def rows(run_dir: Path) -> list[dict[str, str]]:
    if not (run_dir / "metrics.csv").exists():
        return []
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def train(command: Command, run_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command("diffkiln-train", f"--run_dir={run_dir}", *TINY, *arguments)
