"""The command `diffkiln-train`."""

import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from absl import flags
from PIL import Image

from .command import quiet_native_import, require_flag, run_command
from .config import (
    CACHES,
    DISTRIBUTIONS,
    LEARNING_RATE_DECAYS,
    LOSS_WEIGHTINGS,
    PRECISIONS,
    PREDICTIONS,
    SCHEDULES,
    TIME_SAMPLINGS,
    TrainConfig,
)
from .errors import InputError
from .presets import PRESETS, preset_config
from .training.cluster import cluster_from_environment

FLAGS = flags.FlagValues()

USAGE = """Train a diffusion model on pictures. diffkiln-export reads the run that this writes.

  diffkiln-train --run_dir=run
  diffkiln-train --run_dir=run --preset=flowers64 --data=folder:photos

The same command again goes on where the last one stopped. The preset supplies all settings that you
leave out. The run's config.json lists them all, and --describe summarises them without training.
"""


def _text(name: str, default: str | None, text: str) -> None:
    flags.DEFINE_string(name, default, text, flag_values=FLAGS)


def _integer(name: str, text: str) -> None:
    flags.DEFINE_integer(name, None, text, flag_values=FLAGS)


def _number(name: str, text: str) -> None:
    flags.DEFINE_float(name, None, text, flag_values=FLAGS)


def _choice(name: str, default: str | None, choices: tuple[str, ...], text: str) -> None:
    flags.DEFINE_enum(name, default, choices, text, flag_values=FLAGS)


_text("run_dir", None, "folder of the run, created if missing")
_choice("preset", "tiny", tuple(PRESETS), "network and recipe that the other flags change")
_text(
    "data", None, "tfds:NAME, folder:PATH (JPEG and PNG, any depth), synthetic or synthetic:COUNT"
)
_text("data_dir", None, "where tensorflow-datasets finds prepared data")
_text("split", None, "TFDS split to train on; Oxford Flowers: train+test")
_text("eval_split", None, "TFDS split to hold out; Oxford Flowers: validation")
flags.DEFINE_bool("download", False, "let tensorflow-datasets download", flag_values=FLAGS)
_choice(
    "cache",
    None,
    CACHES,
    "where decoded pictures are kept; by default in memory if they take at most a quarter of it",
)
_integer("image_size", "height and width in pixels")
_integer("batch_size", "images per step")
_integer("train_steps", "step to train to")
_number("learning_rate", "Adam's, after the warm-up")
_choice(
    "learning_rate_decay",
    None,
    LEARNING_RATE_DECAYS,
    "after the warm-up: none, as 1/sqrt(step), or along a cosine to 0 at --train_steps",
)
_integer("warm_up_steps", "steps over which the learning rate rises from 0")
_number("weight_decay", "share of each weight to subtract in each step, times the learning rate")
_number("gradient_clip_norm", "largest norm of a gradient")
_choice("loss_weighting", None, LOSS_WEIGHTINGS, "weight of the errors at each noise level")
_choice("time_sampling", None, TIME_SAMPLINGS, "how the times of a batch are drawn")
_integer("ema_half_life_images", "images after which a weight counts half in the average")
_choice("precision", None, PRECISIONS, "number format of the network's computation")
flags.DEFINE_bool(
    "jit_compile", None, "compile the step with XLA; by default only on a GPU", flag_values=FLAGS
)
_choice("schedule", None, SCHEDULES, "amount of noise at time t")
_number("max_signal_rate", "signal rate of the cosine schedule at t = 0")
_number("min_signal_rate", "signal rate of the cosine schedule at t = 1")
_choice("prediction", None, PREDICTIONS, "output that the network is trained for")
_integer("seed", "seed of weights, order, flips and noise")
flags.DEFINE_list("widths", None, "channels of each level, such as 48,80,112", flag_values=FLAGS)
_integer("blocks", "residual blocks per level and direction")
_integer("patch_size", "pixels of a patch's side that become channels; 1 for none")
_integer("attention_heads", "heads of self-attention in the lowest level; 0 for none")
_integer(
    "num_classes", "number of classes in the data, to condition the network on; by default none"
)
_number(
    "label_dropout", "share of images trained without their label, for guidance; with --num_classes"
)
_choice(
    "distribute",
    None,
    DISTRIBUTIONS,
    "train on one device, on all devices of this machine, or as the worker in TF_CONFIG",
)
_number("worker_timeout_s", "seconds to wait for the other workers at the start")
_choice("resume", "auto", ("auto", "never", "must"), "whether to go on with an existing run")
_text("init_from", None, "run or bundle whose weights a new run begins with")
_integer("keep_checkpoints", "number of newest checkpoints to keep, in addition to the best")
_integer("checkpoint_every_steps", "steps between checkpoints")
_integer("preview_every_steps", "steps between preview grids")
_integer("log_every_steps", "steps between rows of metrics.csv")
_integer("kid_every_steps", "steps between measurements of the samples' KID; by default none")
_integer("kid_images", "number of samples for each measurement of KID")
_text("kid_weights", None, "InceptionV3's weights for KID, Keras's notop file; never downloaded")
flags.DEFINE_bool("describe", False, "print what would run, and run nothing", flag_values=FLAGS)

_NOT_SETTINGS = {"run_dir", "preset", "resume", "download", "widths", "describe"}


@dataclass(frozen=True)
class _Arguments:
    run_dir: Path
    config: TrainConfig


def _check() -> _Arguments:
    run_dir = Path(require_flag(FLAGS, "run_dir"))
    if set(str(run_dir)) & set("*?[]\\"):
        # TensorFlow treats the path of a checkpoint as a pattern.
        raise InputError(f"run_dir={run_dir}: expected a path without any of * ? [ ] \\")
    settings = {name: FLAGS[name].value for name in FLAGS if name not in _NOT_SETTINGS}
    widths = FLAGS.widths and tuple(_whole_number(width) for width in FLAGS.widths)
    config = preset_config(FLAGS.preset, widths=widths, **settings)
    if config.distribute == "multi_worker":
        workers = len(cluster_from_environment().workers)
        if config.batch_size % workers:
            raise InputError(
                f"batch_size={config.batch_size}: expected a multiple of {workers}, the number of "
                "workers in TF_CONFIG"
            )
    return _Arguments(run_dir, config)


def _whole_number(text: str) -> int | str:
    return int(text) if text.strip().isdecimal() else text


def _run(arguments: _Arguments) -> None:
    # Pictures up to twice the size that Pillow warns of are decoded, and larger ones refused.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    with quiet_native_import():
        from .describe import describe
        from .training.train import train
    options = {"resume": FLAGS.resume, "download": FLAGS.download}
    if FLAGS.describe:
        print(describe(arguments.run_dir, arguments.config, **options))
        return
    train(arguments.run_dir, arguments.config, **options)


def main() -> int:
    """Run the command and return its exit status."""
    status = run_command("diffkiln-train", USAGE, FLAGS, _check, _run)
    if FLAGS.is_parsed() and FLAGS.distribute == "multi_worker":
        # At a normal exit TensorFlow's servers wait for each other for seconds, and report that
        # those which have left crashed. All files have been written by now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
