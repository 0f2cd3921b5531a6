"""How weights came about: the run that made them, and the runs whose weights that began with."""

import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from .directory import RunDirectory

# Where things lay on the machine that trained says nothing about the model.
_PLACES = ("data_dir", "cache", "kid_weights", "init_from")


def training_record(run: RunDirectory, weights: str = "latest") -> dict[str, Any]:
    """How the `latest` or the `best` weights of a run came about, as JSON values.

    `step` and `images_seen` (by this run), `images` and `fingerprint` of the data, the `settings`,
    and under `earlier` the same of the runs before whose weights it began with, oldest first. Runs
    of an earlier version have steps only where their checkpoints are. Raises InputError for a
    folder that is no run.
    """
    config, data = run.read_config()
    best = run.read_best() if weights == "best" else None
    step = best.step if best else run.read_step() or _newest_checkpoint(run)
    settings = {name: value for name, value in config.to_json().items() if name not in _PLACES}
    if config.data.startswith("folder:"):
        settings["data"] = "folder"
    earlier = run.read_earlier()
    return {
        **({"step": step, "images_seen": step * config.batch_size} if step else {}),
        "images": data.images,
        "fingerprint": data.fingerprint,
        "settings": settings,
        **({"earlier": earlier} if earlier else {}),
    }


def _newest_checkpoint(run: RunDirectory) -> int:
    """Its step, 0 where there is none."""
    checkpoint = tf.train.latest_checkpoint(str(run.checkpoints)) or ""
    return int(Path(checkpoint).name.removeprefix("step-") or 0)


def earlier_runs(source: Path) -> list[dict[str, Any]]:
    """The records of all the runs behind the weights of a run or bundle, oldest first.

    A bundle of a network that diffkiln did not train has none.
    """
    manifest = source / "bundle.json"
    if manifest.is_file():
        record = dict(json.loads(manifest.read_text()).get("training", {}))
    else:
        record = training_record(RunDirectory(source))
    earlier = record.pop("earlier", [])
    return [*earlier, record] if record else earlier
