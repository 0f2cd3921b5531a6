"""The autoencoder of a latent model: another run, or the copy of it inside the model's own run.

A latent model goes on with its copy. Its config.json has the fingerprint of the autoencoder that it
began with, so that a lost copy can be written again, and never from another autoencoder.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from ..config import TrainConfig
from ..errors import InputError
from .average import weights_digest, write_average
from .directory import RunDirectory
from .records import DataSummary, write_json


class AutoencoderRun(NamedTuple):
    """What is known of an autoencoder without its weights; `run` is where it was found."""

    run: RunDirectory
    config: TrainConfig
    data: DataSummary

    def fingerprint(self) -> str | None:
        """The SHA-256 of what makes latents: weights and pixel statistics; None if unreadable."""
        digest = weights_digest(self.run.ema_weights)
        made_of = json.dumps([digest, self.data.pixel_mean, self.data.pixel_std])
        return None if digest is None else hashlib.sha256(made_of.encode()).hexdigest()


def read_autoencoder(latents: Path, model: RunDirectory) -> AutoencoderRun:
    """The autoencoder of a latent `model`: its own copy once it has begun, else the run `latents`.

    The latter too if the copy has been lost. Raises InputError for a folder that is no run of an
    autoencoder, or of another one than the model began with.
    """
    if not (model.has_config and model.read_config()[0].latents):
        found = _at(latents)
        found.run.require_weights("latents")
        return found
    copy = _whole_copy(model)
    if copy is None:
        return _lost(latents, model)
    if RunDirectory(latents).has_config:
        _require_same(latents, copy, model)
    return copy


def copy_of(model: RunDirectory) -> AutoencoderRun:
    """The copy in the run of a latent model that has begun; InputError if it has been lost."""
    copy = _whole_copy(model)
    if copy is None:
        lost = f"{model.autoencoder.path}, the copy of its autoencoder, is gone or damaged"
        remedy = "give the command that trained it again, which writes the copy"
        raise InputError(f"run_dir={model.path}: {lost}; {remedy}")
    return copy


def write_copy(source: AutoencoderRun, network: Any, model: RunDirectory) -> None:
    """Write the settings and the weights of an autoencoder into the run of a latent model."""
    copy = model.autoencoder
    copy.path.mkdir(exist_ok=True)
    write_average(copy.ema_weights, network, step=source.run.read_step())
    write_json(copy.config, source.run.read_record())


def name_on_record(latents: str, model: RunDirectory) -> str:
    """What config.json calls the autoencoder: `latents`, or the name so far if it is not there."""
    before = model.read_config()[0].latents if model.has_config else None
    path = Path(latents)
    is_copy = path.resolve() == model.autoencoder.path.resolve()
    return latents if RunDirectory(path).has_config and not is_copy else before or latents


def _at(latents: Path) -> AutoencoderRun:
    """The run of an autoencoder at `latents`."""
    run = RunDirectory(latents)
    try:
        config, data = run.read_config()
    except InputError as error:
        raise InputError(f"latents={latents}: {error}") from error
    if config.task != "autoencoder":
        problem = f"its task is {config.task}, expected autoencoder"
        remedy = "train one with --task=autoencoder, and give its run"
        raise InputError(f"latents={latents}: {problem}; {remedy}")
    return AutoencoderRun(run, config, data)


def _whole_copy(model: RunDirectory) -> AutoencoderRun | None:
    """The copy in a model's run, None if it is gone, damaged, or of another autoencoder."""
    try:
        copy = AutoencoderRun(model.autoencoder, *model.autoencoder.read_config())
    except InputError:
        return None
    fingerprint = copy.fingerprint()
    # Older runs have no fingerprint on record.
    on_record = model.read_autoencoder_fingerprint() or fingerprint
    return None if fingerprint is None or fingerprint != on_record else copy


def _lost(latents: Path, model: RunDirectory) -> AutoencoderRun:
    """The run `latents`, if it is the autoencoder whose copy a model has lost."""
    problem = "no such folder"
    if latents.exists():
        found, on_record = _at(latents), model.read_autoencoder_fingerprint()
        if on_record is not None and found.fingerprint() == on_record:
            return found
        problem = f"is not known to be the autoencoder that run_dir={model.path} began with"
    lost = f"{model.autoencoder.path}, the run's own copy, is gone or damaged"
    remedy = "restore one of them, or choose a new folder"
    raise InputError(f"latents={latents}: {problem}, and {lost}; {remedy}")


def _require_same(latents: Path, copy: AutoencoderRun, model: RunDirectory) -> None:
    """Raise InputError if there is another autoencoder at `latents` than the one of the copy."""
    if differences := _differences(copy, _at(latents)):
        problem = f"is not the autoencoder that run_dir={model.path} began with ({differences})"
        remedy = f"give {copy.run.path}, its copy of that one, or choose a new folder"
        raise InputError(f"latents={latents}: {problem}; {remedy}")


def _differences(copy: AutoencoderRun, other: AutoencoderRun) -> str:
    """What shows that `other` is not the autoencoder of the copy; it may be trained further."""
    fingerprint = other.fingerprint()
    if fingerprint == copy.fingerprint():
        return ""
    if settings := copy.config.differences(other.config):
        return "; ".join(settings)
    if (copy.data.pixel_mean, copy.data.pixel_std) != (other.data.pixel_mean, other.data.pixel_std):
        return "trained on other pictures"
    if fingerprint is None:
        return "its weights cannot be read"
    begun, now = copy.run.read_step(), other.run.read_step()
    return "" if now > begun else f"other weights, of step {now}"
