"""From a run directory of the trainer to a bundle."""

import warnings
from pathlib import Path
from typing import Any, Unpack

import keras

from ..trainer.config import NetworkConfig
from ..trainer.errors import InputError
from ..trainer.run_directory import RunDirectory
from ..trainer.schedule import make_schedule
from ..trainer.unet import build_unet
from .bundle import export_bundle
from .certificate import Certificate
from .options import Baking


def export_run(run_dir: Path, bundle: Path, **baking: Unpack[Baking]) -> Certificate:
    """Bake the averaged weights of a run into a bundle, in float32 whatever it was trained in.

    The settings, and what it raises, are those of `export_bundle`; also InputError for a folder
    that is no finished run.
    """
    run = RunDirectory(run_dir)
    config, data = run.read_config()
    rates = config.max_signal_rate, config.min_signal_rate
    return export_bundle(
        load_network(run, config.network),
        bundle,
        pixel_mean=data.pixel_mean,
        pixel_std=data.pixel_std,
        schedule=make_schedule(config.schedule, *rates),
        prediction=config.prediction,
        **baking,
    )


def load_network(run: RunDirectory, config: NetworkConfig) -> keras.Model:
    """The run's network with its averaged weights, in float32."""
    network = build_unet(config)
    try:
        with warnings.catch_warnings():
            # Keras only warns where a file lacks weights, and leaves random ones in their place.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(run.ema_weights)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{run.ema_weights}: does not hold the weights of this run's network ({reason}); "
            "restore the file, or train again"
        ) from error
    return network


def load_keras_file(path: Path) -> keras.Model:
    """The network of a `.keras` file, read in Keras's safe mode, which runs no code of the file.

    Raises InputError for a file that cannot be read so.
    """
    try:
        network: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the layers of the file raise
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"network={path}: Keras cannot load it ({reason}); expected a file that model.save "
            "wrote, of built-in layers or registered ones. For layers of your own call "
            "diffkiln.export.export_bundle from Python, where they are known"
        ) from error
    return network
