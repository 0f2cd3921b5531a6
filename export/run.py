"""From a run directory of the trainer to a bundle."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import keras

from ..trainer.config import NetworkConfig
from ..trainer.errors import InputError
from ..trainer.run_directory import RunDirectory
from ..trainer.schedule import make_schedule
from ..trainer.unet import build_unet
from .bundle import export_bundle
from .certificate import Certificate
from .options import GRAPHS


def export_run(
    run_dir: Path,
    bundle: Path,
    *,
    graphs: Sequence[str] = GRAPHS,
    image_dtype: str = "uint8",
    overwrite: bool = False,
) -> Certificate:
    """Bake the averaged weights of a run into a bundle, in float32 whatever it was trained in.

    Raises InputError for a folder that is no finished run, and as `export_bundle` does.
    """
    run = RunDirectory(run_dir)
    config, data = run.read_config()
    return export_bundle(
        load_network(run, config.network),
        bundle,
        pixel_mean=data.pixel_mean,
        pixel_std=data.pixel_std,
        schedule=make_schedule(config),
        prediction=config.prediction,
        graphs=graphs,
        image_dtype=image_dtype,
        overwrite=overwrite,
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
