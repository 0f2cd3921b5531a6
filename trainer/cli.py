"""The command `diffkiln-train`."""

import math
import os
import sys
import time
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from absl import flags

from .command import quiet_native_import, require_flag, run_command
from .config import TrainConfig, label_pattern, refuse_of_pictures
from .data.arrays import array_files
from .data.npz import open_arrays
from .errors import InputError, first_line
from .paths import local_path
from .presets import ALL_PRESETS, latent_config, preset_config, student_config
from .run.autoencoder import read_autoencoder
from .run.directory import RunDirectory
from .run.teacher import read_teacher
from .training.cluster import cluster_from_environment

FLAGS = flags.FlagValues()
# Before TensorFlow is imported, since a queue counts that too.
_STARTED = time.monotonic()

USAGE = """Train a diffusion model on pictures or arrays. diffkiln-export reads the run.

  diffkiln-train --run_dir=run
  diffkiln-train --run_dir=run --preset=flowers64 --data=folder:photos
  diffkiln-train --run_dir=run --data=npz:samples.npz
  diffkiln-train --run_dir=student --distill_from=run
  diffkiln-train --run_dir=auto --task=autoencoder --data=folder:photos
  diffkiln-train --run_dir=latent --latents=auto --data=folder:photos

Run the same command again to resume where it stopped. The preset supplies all settings that you
leave out. The run's config.json lists them all, and --describe summarises them without training.
"""

# Help for each setting except `widths`; `TrainConfig` has the types and the choices.
_SETTINGS = {
    "task": "what to learn: to draw, to enlarge small pictures, to fill in masks, or latents",
    "factor": "how many times larger pictures become, or smaller those of --task=autoencoder",
    "latent_channels": "channels of an autoencoder's latents; with --task=autoencoder",
    "latents": "run of an autoencoder, whose latents a new network learns in place of pictures",
    "data": "tfds:NAME, folder:PATH (pictures at any depth), npz:FILE (arrays), synthetic[:COUNT]",
    "data_dir": "where tensorflow-datasets finds prepared data",
    "split": "TFDS split to train on; Oxford Flowers: train+test",
    "eval_split": "TFDS split to hold out; else a share such as 10%, folder:PATH or npz:FILE",
    "image_feature": "TFDS feature of the images; by default the first",
    "label_feature": "TFDS feature of the classes; by default the first ClassLabel",
    "labels": "classes of a folder's pictures: a CSV or JSON Lines file, or name:REGEX",
    "cache": "where to keep decoded pictures; by default in memory, up to a quarter of it",
    "image_size": "height and width in pixels",
    "channels": "1 for grey, 3 for colours; by default 1 if all pictures are grey",
    "fit": "how pictures become square: by their middle, with white bars, or squeezed",
    "augment": "random changes: mirror half of the pictures, cut parts out of them, or both",
    "picture_size": "side of the pictures out of which crops are cut, without resizing these",
    "batch_size": "images per step",
    "accumulation_steps": "parts of a batch to compute one after another, to save memory",
    "train_steps": "step to train to",
    "learning_rate": "Adam's, after the warm-up",
    "learning_rate_decay": "decay after the warm-up; cosine reaches 0 at --train_steps",
    "warm_up_steps": "steps over which the learning rate rises from 0",
    "weight_decay": "share of each weight to subtract in each step, times the learning rate",
    "gradient_clip_norm": "largest norm of a gradient",
    "dropout": "share of each residual block's values to leave out in training; for small sets",
    "loss_weighting": "weight of the errors at each noise level",
    "time_sampling": "how the times of a batch are drawn",
    "ema_half_life_images": "half-life of the averaged weights, in training images",
    "precision": "number format of the network's computation",
    "jit_compile": "compile the step with XLA; by default only on a GPU",
    "schedule": "amount of noise at time t",
    "max_signal_rate": "signal rate of the cosine schedule at t = 0",
    "min_signal_rate": "signal rate of the cosine schedule at t = 1",
    "prediction": "output that the network is trained for",
    "seed": "seed of weights, order, flips and noise",
    "blocks": "residual blocks per level and direction",
    "patch_size": "side in pixels of the patches that become channels; 1 for none",
    "attention_heads": "heads of self-attention in the lowest level; 0 for none",
    "num_classes": "number of classes in the data, to condition the network on; by default none",
    "label_dropout": "share of images without label, for guidance; with --num_classes",
    "distribute": "one device, all devices of this machine, or the worker in TF_CONFIG",
    "worker_timeout_s": "seconds to wait for the other workers at the start",
    "init_from": "run or bundle whose weights a new run begins with",
    "distill_from": "run or bundle whose pictures a new network learns to draw in a few steps",
    "teacher_steps": "steps of the teacher, 2 to 20; by default those of its largest table, or 20",
    "keep_checkpoints": "number of newest checkpoints to keep, in addition to the best",
    "checkpoint_every_steps": "steps between checkpoints",
    "preview_every_steps": "steps between preview grids",
    "log_every_steps": "steps between rows of metrics.csv",
    "kid_every_steps": "steps between measurements of the samples' KID; by default none",
    "kid_images": "number of samples for each measurement of KID",
    "kid_weights": "InceptionV3's weights for KID, Keras's notop file; never downloaded",
}
_DEFINE = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
}
_PATHS = (
    *("contact_sheet", "run_dir", "data_dir", "init_from", "distill_from", "latents"),
    "kid_weights",
)
_RESUME = ("auto", "never", "must")


def _define_flags() -> None:
    within: Any = {"flag_values": FLAGS}
    recipe = "network and recipe to start from; arrays, autoencoders and latents have their own"
    flags.DEFINE_string("run_dir", None, "folder of the run, created if missing", **within)
    flags.DEFINE_enum("preset", "tiny", [*ALL_PRESETS], recipe, **within)
    of_setting = {each.name: each for each in fields(TrainConfig)}
    for name, text in _SETTINGS.items():
        each = of_setting[name]
        kind, *_ = get_args(each.type) or (each.type,)
        if choices := each.metadata.get("choices"):
            flags.DEFINE_enum(name, None, choices, text, **within)
        else:
            _DEFINE[kind](name, None, text, **within)
    flags.DEFINE_list("widths", None, "channels of each level, such as 48,80,112", **within)
    of_levels = "levels of black and white in pictures of more than 8 bits, such as 0,4095"
    flags.DEFINE_list("levels", None, of_levels, **within)
    of_student = "counts of steps that a student learns, each 2 to 20; by default 2,3,4,6"
    flags.DEFINE_list("student_steps", None, of_student, **within)
    of_guidance = "least and greatest guidance that a student takes; by default 1,4"
    flags.DEFINE_list("guidance_range", None, of_guidance, **within)
    flags.DEFINE_enum("resume", "auto", _RESUME, "whether to go on with an existing run", **within)
    flags.DEFINE_bool("allow_data_change", False, "go on although pictures have changed", **within)
    flags.DEFINE_float("max_hours", None, "save and end after this time, with status 75", **within)
    flags.DEFINE_bool("download", False, "let tensorflow-datasets download", **within)
    flags.DEFINE_bool("describe", False, "print what would run, and run nothing", **within)
    sheet = "PNG of 64 images as the network would see them, to write with --describe"
    flags.DEFINE_string("contact_sheet", None, sheet, **within)


_define_flags()


def _check() -> tuple[Path, TrainConfig]:
    for name in _PATHS:
        if FLAGS[name].value:
            FLAGS[name].value = local_path(name, str(FLAGS[name].value))
    for name in ("data", "eval_split"):
        kind, colon, path = (FLAGS[name].value or "").partition(":")
        if kind in ("folder", "npz"):
            FLAGS[name].value = kind + colon + local_path(name, path)
        else:
            local_path(name, kind + colon + path)  # a URL is no other kind of data either
    if FLAGS.labels and not label_pattern(FLAGS.labels):
        FLAGS.labels = local_path("labels", FLAGS.labels)
    run_dir = Path(require_flag(FLAGS, "run_dir"))
    if FLAGS.contact_sheet and not FLAGS.describe:
        expected = "only --describe writes it; add that flag, or leave this one out"
        raise InputError(f"contact_sheet={FLAGS.contact_sheet}: {expected}")
    hours = FLAGS.max_hours
    if hours is not None and not 0 < hours < math.inf:
        raise InputError(f"max_hours={hours}: expected a number of hours above 0")
    try:
        str(run_dir).encode()
    except UnicodeEncodeError as error:
        remedy = "choose another, or set PYTHONUTF8=1 if it is"
        raise InputError(f"run_dir={run_dir}: expected a path in UTF-8; {remedy}") from error
    if set(str(run_dir)) & set("*?[]\\"):
        # TensorFlow treats the path of a checkpoint as a pattern.
        raise InputError(f"run_dir={run_dir}: expected a path without any of * ? [ ] \\")
    settings = {name: FLAGS[name].value for name in _SETTINGS}
    widths = FLAGS.widths and tuple(int(w) if w.strip().isdecimal() else w for w in FLAGS.widths)
    settings |= {"widths": widths, "levels": _numbers("levels", float, "0,4095")}
    settings["student_steps"] = _numbers("student_steps", int, "2,3,4")
    settings["guidance_range"] = _numbers("guidance_range", float, "1,4")
    config = _config(settings, run_dir)
    if config.distribute == "multi_worker":
        workers = len(cluster_from_environment().workers)
        if config.batch_size % workers:
            expected = f"a multiple of {workers}, the number of workers in TF_CONFIG"
            raise InputError(f"batch_size={config.batch_size}: expected {expected}")
    return run_dir, config


def _config(settings: dict[str, Any], run_dir: Path) -> TrainConfig:
    """The configuration of a student, or of a preset."""
    if FLAGS.latents is not None:
        return _latent_config(settings, run_dir)
    if FLAGS.distill_from is None and (FLAGS.data or "").startswith("npz:"):
        return _array_config(settings)
    if FLAGS.distill_from is None:
        of_task = "autoencoder" if FLAGS.task == "autoencoder" else FLAGS.preset
        return preset_config(_preset(of_task), **settings)
    if FLAGS["preset"].present:
        problem = "a student has the network of its teacher; leave it out"
        raise InputError(f"preset={FLAGS.preset}: {problem}")
    return student_config(read_teacher(Path(FLAGS.distill_from)).config, **settings)


def _preset(default: str) -> str:
    """The preset that was given, or another default than of pictures."""
    return FLAGS.preset if FLAGS["preset"].present else default


def _latent_config(settings: dict[str, Any], run_dir: Path) -> TrainConfig:
    """The configuration of a network of an autoencoder's latents."""
    if FLAGS.latents == "":
        raise InputError("latents=: empty; give the run of an autoencoder")
    autoencoder = read_autoencoder(Path(FLAGS.latents), RunDirectory(run_dir)).config
    return latent_config(_preset("latents"), autoencoder, **settings)


def _array_config(settings: dict[str, Any]) -> TrainConfig:
    """The configuration of a preset for arrays, whose shape the header of their file has."""
    if FLAGS.contact_sheet:
        refuse_of_pictures("contact_sheet", FLAGS.contact_sheet, FLAGS.data)
    file = open_arrays(Path(FLAGS.data.removeprefix("npz:")))
    config = preset_config(_preset("arrays"), **settings, array_shape=file.shape)
    array_files(config)
    return config


def _numbers(name: str, kind: type, example: str) -> tuple[Any, ...] | None:
    """The numbers of a list's flag, None without it."""
    given: Any = FLAGS[name].value
    try:
        return given and tuple(kind(each) for each in given)
    except ValueError as error:
        expected = f"expected numbers, such as {example}"
        raise InputError(f"{name}={','.join(given)}: {expected}") from error


def _run(arguments: tuple[Path, TrainConfig]) -> None:
    # Large pictures and odd EXIF: what Pillow cannot read is refused all the same.
    warnings.filterwarnings("ignore", module="PIL")
    with quiet_native_import():
        import tensorflow as tf

        from .data.pictures import quiet_decoders
        from .describe import plan, write_contact_sheet
        from .training.train import train
    quiet_decoders()
    options = {
        "resume": FLAGS.resume,
        "download": FLAGS.download,
        "allow_data_change": FLAGS.allow_data_change,
    }
    if FLAGS.describe:
        text, refusals = plan(*arguments, **options)
        print(text, flush=True)
        if refusals:
            raise InputError(refusals[0])
        if FLAGS.contact_sheet:
            write_contact_sheet(Path(FLAGS.contact_sheet), *arguments)
            print(f"wrote {FLAGS.contact_sheet}: the first 64 images that the network would see")
        return
    hours = math.inf if FLAGS.max_hours is None else FLAGS.max_hours
    try:
        train(*arguments, **options, deadline=_STARTED + 3600 * hours)
    except tf.errors.OpError as error:
        full = isinstance(error, tf.errors.ResourceExhaustedError)
        memory = "lower --batch_size, or end what else needs memory"
        remedy = memory if full else "give the same command again to go on"
        raise OSError(f"TensorFlow failed ({first_line(error)}); {remedy}") from error


def main() -> int:
    """Run the command and return its exit status."""
    # Not on by default for all processors; without it, those train a quarter more slowly.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    status = run_command("diffkiln-train", USAGE, FLAGS, _check, _run)
    if FLAGS.is_parsed() and FLAGS.distribute == "multi_worker":
        # At a normal exit TensorFlow's servers wait for each other for seconds, and report that
        # those which have left crashed. All files have been written by now.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status
