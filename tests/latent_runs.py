"""Small autoencoders and models of their latents, trained in this process."""

import warnings
from pathlib import Path
from typing import Any

from diffkiln.trainer.config import TrainConfig
from diffkiln.trainer.presets import latent_config, preset_config
from diffkiln.trainer.run.autoencoder import read_autoencoder
from diffkiln.trainer.run.directory import RunDirectory

QUICK: dict[str, Any] = {
    "data": "synthetic:64",
    "batch_size": 8,
    "warm_up_steps": 2,
    "ema_half_life_images": 50,
    "log_every_steps": 4,
    "preview_every_steps": 8,
    "checkpoint_every_steps": 8,
}
AUTOENCODER: dict[str, Any] = {
    **QUICK,
    "image_size": 16,
    "factor": 2,
    "latent_channels": 3,
    "widths": (8, 8),
    "train_steps": 24,
}
LATENTS: dict[str, Any] = {**QUICK, "widths": (16,), "num_classes": 10, "train_steps": 16}


def autoencoder(run_dir: Path, **settings: Any) -> None:
    run(run_dir, preset_config("autoencoder", **{**AUTOENCODER, **settings}))


def latent_model(run_dir: Path, latents: Path, **settings: Any) -> None:
    run(run_dir, of(run_dir, latents, **settings))


def of(run_dir: Path, latents: Path, **settings: Any) -> TrainConfig:
    own = read_autoencoder(latents, RunDirectory(run_dir)).config
    return latent_config("latents", own, latents=str(latents), **{**LATENTS, **settings})


def run(run_dir: Path, config: TrainConfig) -> None:
    # Only here, since some tests that import this module need no TensorFlow.
    from diffkiln.trainer.training.train import train

    with warnings.catch_warnings():
        # Keras's own, which the tests would turn into errors.
        warnings.simplefilter("ignore", DeprecationWarning)
        train(run_dir, config)
