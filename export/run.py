"""From a run directory of the trainer to a bundle."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from ..trainer.config import ConditionSpec
from ..trainer.errors import InputError, check_choice
from ..trainer.maths.schedules import make_schedule
from ..trainer.maths.tables import Tables
from ..trainer.run.autoencoder import copy_of
from ..trainer.run.codec import Codec
from ..trainer.run.directory import RunDirectory
from ..trainer.run.lineage import training_record
from ..trainer.run.weights import load_network
from .bundle import write_bundle
from .conditions import Condition
from .model import Model
from .options import WEIGHTS, Baking, BakingSettings, Learning
from .proof.certify import Certificate
from .second import second_stage

_SENTENCES = {
    "low_resolution": "The picture to enlarge.",
    "augmentation": "How much noise or damage the small picture has: 0 for none, up to 1.",
    "masked_image": "The picture to fill in; what the mask hides does not matter.",
    "paint_mask": "0 where the picture stays, and anything else where it is to be painted.",
}


def _condition(spec: ConditionSpec) -> Condition:
    """A condition of a run as programs give it; training never leaves it out."""
    sentence = _SENTENCES[spec.name]
    if spec.kind == "level":
        return Condition(sentence, null=None, default=0.0)
    if spec.kind == "mask":
        return Condition(sentence, dtype="uint8", null=None, pixel_mean=0.0, pixel_std=1.0)
    return Condition(sentence, dtype="uint8", null=None)


def export_run(
    run_dir: Path,
    bundle: Path,
    *,
    weights: str = "latest",
    baking: Baking | None = None,
    learning: Learning | None = None,
    then: Path | str | None = None,
    then_steps: int | None = None,
    then_augmentation: float = 0.0,
    overwrite: bool = False,
    **settings: Unpack[BakingSettings],
) -> Certificate:
    """Bake the averaged weights of a run into a bundle, in float32 whatever it was trained in.

    `weights` are the `latest` or the `best` that it saved. The other settings are those of
    `export_bundle`. Raises what `export_bundle` raises, and InputError for a folder that holds no
    finished run.
    """
    check_choice("weights", weights, WEIGHTS)
    run = RunDirectory(run_dir)
    config, data = run.read_config()
    if config.task == "autoencoder":
        remedy = f"train a latent model with diffkiln-train --latents={run_dir}, and give its run"
        raise InputError(f"run_dir={run_dir}: an autoencoder draws nothing by itself; {remedy}")
    file = run.best_weights if weights == "best" else run.ema_weights
    network, training = load_network(file, config.network), training_record(run, weights)
    schedule = make_schedule(config.schedule, config.max_signal_rate, config.min_signal_rate)
    names = ("mean", "std") if config.array_shape else ("pixel_mean", "pixel_std")
    statistics: Any = dict(zip(names, (data.pixel_mean, data.pixel_std), strict=True))
    codec = None if config.latents is None else Codec(copy_of(run))
    if codec is not None:
        statistics |= {"pixel_mean": codec.pixel_mean, "pixel_std": codec.pixel_std}
    model = Model(
        **statistics,
        schedule=schedule,
        prediction=config.prediction,
        class_names=data.class_names,
        levels=config.levels,
        fit=config.fit,
        conditions={each.name: _condition(each) for each in config.conditions},
        guidance_range=config.guidance_range,
    )
    baking = replace(baking or Baking(), **settings)
    return write_bundle(
        *(network, bundle, model, baking, learning),
        codec=(None, None) if codec is None else (codec.decoder, codec.encoder),
        second=second_stage(then, then_steps, then_augmentation),
        tables=_tables(run, baking, learning),
        training=training,
        overwrite=overwrite,
    )


def _tables(run: RunDirectory, baking: Baking, learning: Learning | None) -> Tables | None:
    """The tables with which a student learned to draw; InputError for others beside them."""
    numbers = run.read_tables()
    if numbers is None:
        return None
    if learning is not None or baking.tables is not None:
        problem = "a student draws with the tables that it was distilled with; leave them out"
        raise InputError(f"run_dir={run.path}: {problem}")
    return Tables.from_json(numbers)
