"""The autoencoder of a latent model: another run, or the copy of it inside the model's own run."""

from pathlib import Path
from typing import Any, NamedTuple

from ..config import TrainConfig
from ..errors import InputError
from .average import write_average
from .directory import RunDirectory
from .records import DataSummary, write_json


class AutoencoderRun(NamedTuple):
    """What is known of an autoencoder without its weights; `run` is where it was found."""

    run: RunDirectory
    config: TrainConfig
    data: DataSummary


def read_autoencoder(latents: Path, model: RunDirectory) -> AutoencoderRun:
    """The autoencoder of a latent `model`: its own copy once it has begun, else the run `latents`.

    Raises InputError for a folder that is no run of an autoencoder.
    """
    copy = model.autoencoder
    run = copy if model.has_config and copy.has_config else RunDirectory(latents)
    try:
        config, data = run.read_config()
    except InputError as error:
        raise InputError(f"latents={latents}: {error}") from error
    if config.task != "autoencoder":
        problem = f"its task is {config.task}, expected autoencoder"
        remedy = "train one with --task=autoencoder, and give its run"
        raise InputError(f"latents={latents}: {problem}; {remedy}")
    return AutoencoderRun(run, config, data)


def copy_of(model: RunDirectory) -> AutoencoderRun:
    """The copy in the run of a latent model that has begun."""
    run = model.autoencoder
    config, data = run.read_config()
    return AutoencoderRun(run, config, data)


def write_copy(source: AutoencoderRun, network: Any, model: RunDirectory) -> None:
    """Write the settings and the weights of an autoencoder into the run of a latent model."""
    copy = model.autoencoder
    copy.path.mkdir(exist_ok=True)
    write_average(copy.ema_weights, network, step=source.run.read_step())
    write_json(copy.config, source.run.read_record())
