"""Small .npz files of arrays, runs that train on them, and whether two hosts draw the same."""

import json
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


# In standard deviations. A float32 has seven digits, and hosts add in another order; what that
# changes grows over twenty steps, to about 2e-6 in the tests' bundles.
MOST_DEVIATIONS = 1e-4


def require_near(bundle: Path, received: np.ndarray, expected: np.ndarray) -> None:
    """Another host drew the Sampler's arrays with this bundle."""
    std = json.loads((bundle / "bundle.json").read_text())["array"]["std"]
    assert (received.dtype, received.shape) == (np.float32, expected.shape)
    apart = np.abs((received - expected) / std).max()
    print(f"largest difference {apart:.1e} standard deviations")
    assert apart <= MOST_DEVIATIONS


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
