"""Small .npz files of arrays, and runs that train on them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.presets import preset_config

SMALL: dict[str, Any] = {
    "widths": (8,),
    "blocks": 1,
    "batch_size": 8,
    "warm_up_steps": 5,
    "log_every_steps": 1,
    "checkpoint_every_steps": 2,
}


def save_arrays(path: Path, shape: tuple[int, ...], **arrays: Any) -> Path:
    """A file of random `samples` of this shape, with the other arrays beside them."""
    samples = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.savez(path, samples=samples, **arrays)
    return path


def array_config(path: Path, **settings: Any) -> TrainConfig:
    """The settings of a small run on a file's samples."""
    with np.load(path) as file:
        shape = file["samples"].shape[1:]
    return preset_config("arrays", data=f"npz:{path}", array_shape=shape, **(SMALL | settings))


def train_arrays(run_dir: Path, path: Path, **settings: Any) -> None:
    """Train on a file's samples in this process."""
    # Only here, since most of the tests that import this module do not need TensorFlow.
    from diffkiln.trainer.training.train import train

    with warnings.catch_warnings():
        # Keras's own, which the tests would turn into errors.
        warnings.simplefilter("ignore", DeprecationWarning)
        train(run_dir, array_config(path, **settings))
