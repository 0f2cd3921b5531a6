"""The flags of `diffkiln-export`, and what they say of a network and of learning."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from absl import flags

from ..trainer.command import require_flag
from ..trainer.config import (
    ALL_PREDICTIONS,
    ALL_SCHEDULES,
    CONDITIONINGS,
    FITS,
    check_sigmas,
    check_signal_rates,
)
from ..trainer.errors import InputError
from ..trainer.maths.alphas_cumprod import read_alphas_cumprod
from .checks import read_names
from .conditions import read_conditions
from .model import STATISTICS, Model
from .options import GRAPHS, WEIGHTS, Baking, Learning

FLAGS = flags.FlagValues()

_DEFINE: dict[Any, Callable[..., Any]] = {
    bool: flags.DEFINE_bool,
    bool | None: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    float | None: flags.DEFINE_float,
    str | None: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    int | None: flags.DEFINE_integer,
    str: flags.DEFINE_string,
    Sequence[str]: flags.DEFINE_list,
}


def _flag(name: str, kind: Any, default: Any, text: str) -> None:
    """Define a flag of this type, or one of these choices."""
    if isinstance(kind, tuple):
        flags.DEFINE_enum(name, default, kind, text, flag_values=FLAGS)
    else:
        _DEFINE[kind](name, default, text, flag_values=FLAGS)


_flag("bundle", str, None, "folder to write the bundle to")
_flag("overwrite", bool, False, "replace an existing bundle")
_flag("verify", bool, False, "check an existing bundle, and write nothing")
_flag("run_dir", str, None, "folder of a diffkiln-train run")
_flag("weights", WEIGHTS, "latest", "weights of --run_dir; best by held-out loss or KID")
_flag(
    "network",
    str,
    None,
    "a .keras or .onnx file, instead of --run_dir; or the one to --verify a bundle with",
)

_flag("then", str, None, "a super-resolution bundle: the second stage of a cascade")
_flag("then_steps", int | None, None, "how many steps it always takes; its default if left out")
_flag("then_augmentation", float, 0.0, "noise to add to the small picture before it, such as 0.1")

_NUMBERS = "one number or one per channel"
_ENTRIES = "one number or one per entry of the last axis"
_NAMES = "text file with a class name on each line, if --network takes labels"
_SCHEDULE = f"{', '.join(ALL_SCHEDULES)}, or a .npy file of alphas_cumprod at timesteps 1 to T"
OF_NETWORK: dict[str, tuple[Any, Any, str]] = {
    "pixel_mean": (Sequence[str], None, f"mean of --network's pixels, 0 to 1: {_NUMBERS}"),
    "pixel_std": (Sequence[str], None, f"their standard deviation: {_NUMBERS}"),
    "decoder": (str, None, "a .keras or .onnx file that makes images of --network's latents"),
    "encoder": (str, None, "a file that makes latents of images, for encode, inpaint and edit"),
    "mean": (Sequence[str], None, f"of --network's latents, or other arrays: {_ENTRIES}"),
    "std": (Sequence[str], None, f"their standard deviation: {_ENTRIES}"),
    "schedule": (str, "cosine", f"noise schedule of --network: {_SCHEDULE}"),
    "max_signal_rate": (float, 0.95, "signal rate of a cosine schedule at t = 0"),
    "min_signal_rate": (float, 0.02, "signal rate of a cosine schedule at t = 1"),
    "sigma_min": (float, 0.002, "least noise/signal of the edm schedule, at t = 0"),
    "sigma_max": (float, 80.0, "its greatest, at t = 1"),
    "sigma_data": (float, 0.5, "standard deviation of images in EDM's preconditioning"),
    "prediction": (ALL_PREDICTIONS, "noise", "what --network puts out"),
    "conditioning": (CONDITIONINGS, "time", "the condition that --network takes"),
    "first_timestep": (int, 1, "what --network calls its first timestep: 0 or 1"),
    "class_names": (str, None, _NAMES),
    "inputs": (Sequence[str], None, "order of its inputs, such as noisy,labels,condition"),
    "image_size": (Sequence[str], None, "size to bake if it takes any: 64, or height,width"),
    "conditions": (str, None, "JSON file of what else it takes, by the names of its inputs"),
    "guidance_range": (Sequence[str], None, "least and greatest, if it takes the guidance: 1,4"),
    "levels": (Sequence[str], None, "black and white in its pictures of more than 8 bits: 0,4095"),
    "fit": (FITS, "crop", "how its pictures became images: cropped, with white bars, or squeezed"),
    "import": (Sequence[str], None, "Python files or modules with its layers; their code runs"),
}
# Settings that a single schedule has.
_OF_SCHEDULE = {
    **dict.fromkeys(("max_signal_rate", "min_signal_rate"), "cosine"),
    **dict.fromkeys(("sigma_min", "sigma_max", "sigma_data"), "edm"),
}
for _name, _definition in OF_NETWORK.items():
    _flag(_name, *_definition)
_OF_LEARNING: dict[str, tuple[Any, str]] = {
    "steps": (Sequence[str], "step counts to learn tables for, each 2 to 20"),
    "guidance": (Sequence[str], "least and greatest guidance of the tables; 1,4 by default"),
    "iterations": (int, "how long to learn each table"),
}
_flag("learn", bool, False, "learn tables for pictures in a few steps, kept in --tables")
for _name, (_kind, _text) in _OF_LEARNING.items():
    _value: Any = getattr(Learning(), _name)
    _value = [str(each) for each in _value] if isinstance(_value, tuple) else _value
    _flag(f"learn_{_name}", _kind, _value, _text)
for _field in fields(Baking):
    _default: Any = list(GRAPHS) if _field.name == "graphs" else _field.default
    _kind = _field.metadata["choices"] or _field.type
    _flag(_field.name, _kind, _default, _field.metadata["help"])


def given_learning() -> Learning | None:
    """What the flags say of learning tables."""
    if not FLAGS.learn:
        for name in (f"learn_{name}" for name in _OF_LEARNING if FLAGS[f"learn_{name}"].present):
            raise InputError(f"--{name}: is for learning tables; add --learn, or leave it out")
        return None
    steps = _numbers("learn_steps", FLAGS.learn_steps, int, "whole numbers")
    guidance = FLAGS.learn_guidance and _numbers(
        "learn_guidance", FLAGS.learn_guidance, float, "numbers"
    )
    return Learning(steps, guidance, FLAGS.learn_iterations)


def given_model() -> Model:
    """What the flags say of --network, without its schedule."""
    if not (FLAGS.mean or FLAGS.std):
        for name in ("pixel_mean", "pixel_std"):
            require_flag(FLAGS, name)
    given = [name for name in STATISTICS if FLAGS[name].value]
    statistics: dict[str, Any] = {
        name: _numbers(name, FLAGS[name].value, expected="numbers") for name in given
    }
    names = () if FLAGS.class_names is None else read_names(Path(FLAGS.class_names))
    file = FLAGS.conditions
    size = FLAGS.image_size and _numbers("image_size", FLAGS.image_size, int, "whole numbers")
    return Model(
        **statistics,
        prediction=FLAGS.prediction,
        conditioning=FLAGS.conditioning,
        class_names=names,
        first_timestep=FLAGS.first_timestep,
        inputs=FLAGS.inputs or (),
        image_size=size[0] if size and len(size) == 1 else size,
        conditions={} if file is None else read_conditions(Path(file)),
        levels=FLAGS.levels and _numbers("levels", FLAGS.levels, expected="two numbers"),
        fit=FLAGS.fit,
        guidance_range=FLAGS.guidance_range and _numbers("guidance_range", FLAGS.guidance_range),
    )


def given_schedule() -> Callable[[], Any]:
    """What makes the schedule of --network, once TensorFlow is imported; its numbers are right."""
    name = FLAGS.schedule
    for flag, owner in _OF_SCHEDULE.items():
        if name != owner and FLAGS[flag].present:
            raise InputError(f"--{flag}: {name} has no such setting; leave it out")
    if name.endswith(".npy"):
        array = read_alphas_cumprod(Path(name))
        return lambda: _schedules().schedule_from_alphas_cumprod(array)
    if name not in ALL_SCHEDULES:
        raise InputError(f"--schedule={name}: expected one of {_SCHEDULE}")
    rates = FLAGS.max_signal_rate, FLAGS.min_signal_rate
    sigmas = FLAGS.sigma_min, FLAGS.sigma_max, FLAGS.sigma_data
    check_signal_rates(*rates)
    check_sigmas(*sigmas)
    if name == "edm":
        return lambda: _schedules().EDMSchedule(*sigmas)
    return lambda: _schedules().make_schedule(name, *rates)


def _schedules() -> Any:
    from ..trainer.maths import schedules

    return schedules


def _numbers(
    name: str, texts: Any, kind: Callable[[str], Any] = float, expected: str = "numbers from 0 to 1"
) -> tuple[Any, ...]:
    try:
        return tuple(kind(text) for text in texts)
    except ValueError as error:
        raise InputError(
            f"--{name}={','.join(texts)}: expected {expected} with commas between"
        ) from error
