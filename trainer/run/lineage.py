"""The lineage of weights: the run that trained them, and the runs whose weights it began with."""

import json
from pathlib import Path
from typing import Any

from .autoencoder import copy_of
from .directory import RunDirectory

# Paths on the machine that trained say nothing about the model.
_PLACES = ("data_dir", "cache", "kid_weights", "init_from", "distill_from", "latents")


def training_record(run: RunDirectory, weights: str = "latest") -> dict[str, Any]:
    """The record of a run's `latest` or `best` weights, as JSON values.

    It has `step` and `images_seen` (by this run), `images` and `fingerprint` of the data, the
    `settings`, and as `earlier` the records of the runs whose weights it began with, oldest first.
    The record of a latent model includes that of its `autoencoder`.
    An older run has a step only if its checkpoints exist. Raises InputError if there is no run.
    """
    config, data = run.read_config()
    best = run.read_best() if weights == "best" else None
    (*_, newest) = [0, *run.checkpoint_steps()]
    step = best.step if best else run.read_step(weights) or newest
    settings = {name: value for name, value in config.to_json().items() if name not in _PLACES}
    kind = config.data.partition(":")[0]
    if kind in ("folder", "npz"):
        settings["data"] = kind
    earlier = run.read_earlier()
    return {
        **({"step": step, "images_seen": step * config.batch_size} if step else {}),
        "images": data.images,
        "fingerprint": data.fingerprint,
        "settings": settings,
        **({"earlier": earlier} if earlier else {}),
        **({"autoencoder": training_record(copy_of(run).run)} if config.latents else {}),
    }


def earlier_runs(source: Path) -> list[dict[str, Any]]:
    """The records of all the runs behind the weights of a run or bundle, oldest first.

    There are none for a bundle of a network that diffkiln did not train.
    """
    manifest = source / "bundle.json"
    if manifest.is_file():
        record = dict(json.loads(manifest.read_text(encoding="utf-8")).get("training", {}))
    else:
        record = training_record(RunDirectory(source))
    earlier = record.pop("earlier", [])
    return [*earlier, record] if record else earlier
