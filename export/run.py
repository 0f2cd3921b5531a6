"""From a run directory of the trainer to a bundle."""

from pathlib import Path
from typing import Any, Unpack

import keras
import tensorflow as tf

from ..trainer.config import TrainConfig
from ..trainer.errors import InputError
from ..trainer.run_directory import DataSummary, RunDirectory
from ..trainer.schedule import make_schedule
from ..trainer.weights import load_network
from .bundle import export_bundle
from .certificate import Certificate
from .options import WEIGHTS, Baking, check_choice


def export_run(
    run_dir: Path, bundle: Path, *, weights: str = "latest", **baking: Unpack[Baking]
) -> Certificate:
    """Bake the averaged weights of a run into a bundle, in float32 whatever it was trained in.

    `weights` are the `latest` or the `best` that it saved. The other settings, and what it raises,
    are those of `export_bundle`; also InputError for a folder that is no finished run.
    """
    check_choice("weights", weights, WEIGHTS)
    run = RunDirectory(run_dir)
    config, data = run.read_config()
    rates = config.max_signal_rate, config.min_signal_rate
    return export_bundle(
        load_network(run.best_weights if weights == "best" else run.ema_weights, config.network),
        bundle,
        pixel_mean=data.pixel_mean,
        pixel_std=data.pixel_std,
        schedule=make_schedule(config.schedule, *rates),
        prediction=config.prediction,
        class_names=data.class_names,
        training=_training(run, config, data, weights),
        **baking,
    )


# Where things lay on the machine that trained says nothing about the model.
_PLACES = ("data_dir", "cache", "kid_weights", "init_from")


def _training(
    run: RunDirectory, config: TrainConfig, data: DataSummary, weights: str
) -> dict[str, Any]:
    """How the weights came about, for the manifest."""
    best = run.read_best() if weights == "best" else None
    # Weights may be passed on without the checkpoints, which say how far they had come.
    checkpoint = tf.train.latest_checkpoint(str(run.checkpoints)) or ""
    step = best.step if best else int(Path(checkpoint).name.removeprefix("step-") or 0)
    settings = {name: value for name, value in config.to_json().items() if name not in _PLACES}
    if config.data.startswith("folder:"):
        settings["data"] = "folder"
    seen = {"step": step, "images_seen": step * config.batch_size} if step else {}
    return {
        **seen,
        "images": data.images,
        "fingerprint": data.fingerprint,
        "settings": settings,
    }


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
