"""The command `diffkiln-export`."""

import logging
import os
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from ..runtime.command.program import handle_kills, prepare_streams
from ..runtime.paths import local_path
from ..trainer.command import quiet_native_import, require_flag, run_command
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
from ..trainer.run.directory import RunDirectory
from .checks import check_network_path, is_onnx, read_names
from .conditions import read_conditions
from .model import Model
from .options import GRAPHS, WEIGHTS, Baking, Learning
from .publish import check_bundle_path, terminate

FLAGS = flags.FlagValues()

USAGE = """Bake a trained model and its sampler into a bundle that other programs can run.

  diffkiln-export --run_dir=run --bundle=flowers.bundle
  diffkiln-export --network=net.keras --pixel_mean=0.5 --pixel_std=0.5 --bundle=flowers.bundle
  diffkiln-export --network=unet.onnx --pixel_mean=0.5 --pixel_std=0.5 --bundle=flowers.bundle
  diffkiln-export --verify --bundle=flowers.bundle
"""

_DEFINE: dict[Any, Callable[..., Any]] = {
    bool: flags.DEFINE_bool,
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
    "a .keras or .onnx file, instead of --run_dir; or the .onnx file to --verify with",
)

_NUMBERS = "one number or one per channel"
_NAMES = "text file with a class name on each line, if --network takes labels"
_SCHEDULE = f"{', '.join(ALL_SCHEDULES)}, or a .npy file of alphas_cumprod at timesteps 1 to T"
_OF_NETWORK: dict[str, tuple[Any, Any, str]] = {
    "pixel_mean": (Sequence[str], None, f"mean of --network's pixels, 0 to 1: {_NUMBERS}"),
    "pixel_std": (Sequence[str], None, f"their standard deviation: {_NUMBERS}"),
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
for _name, _definition in _OF_NETWORK.items():
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


# --schedule and --import may also name something else, which stays as it is.
_PATHS = (
    *("bundle", "run_dir", "network", "schedule"),
    *("class_names", "conditions", "tables", "import"),
)


def _check() -> Callable[[], None]:
    """What the flags say to do."""
    for flag in (FLAGS[name] for name in _PATHS):
        if isinstance(flag.value, list):
            flag.value = [_local(flag.name, text) for text in flag.value]
        elif flag.value:
            flag.value = _local(flag.name, flag.value)
    bundle = Path(require_flag(FLAGS, "bundle"))
    if FLAGS.verify:
        return _check_verify(bundle)
    if FLAGS.run_dir is None and FLAGS.network is None:
        raise InputError(
            "--run_dir: expected the folder of a diffkiln-train run, or else --network with a "
            ".keras or .onnx file; see --help"
        )
    if FLAGS.run_dir is not None and FLAGS.network is not None:
        raise InputError("--network: cannot be combined with --run_dir; leave one of them out")
    settings: Any = {field.name: FLAGS[field.name].value for field in fields(Baking)}
    baking, learning = Baking(**settings), _learning()
    if learning is not None:
        baking.check_allows_tables()
    check_bundle_path(bundle, overwrite=FLAGS.overwrite)
    if learning is None and baking.tables is not None and not Path(baking.tables).is_file():
        raise InputError(f"--tables={baking.tables}: no such file; add --learn, or leave it out")
    if baking.tables is not None and not Path(baking.tables).absolute().parent.is_dir():
        raise InputError(f"--tables={baking.tables}: expected a path in an existing folder")
    if FLAGS.run_dir is not None:
        for name in (name for name in _OF_NETWORK if FLAGS[name].present):
            raise InputError(
                f"--{name}={FLAGS[name].value}: config.json of the run says it; leave it out, or "
                "give --network instead of --run_dir"
            )
        export = partial(_export_run, Path(FLAGS.run_dir), bundle, baking, learning)
        return partial(_write, bundle, export)
    if FLAGS["weights"].present:
        raise InputError(
            f"--weights={FLAGS.weights}: only a run has several; leave it out, or give --run_dir"
        )
    network, model = Path(require_flag(FLAGS, "network")), _model()
    if is_onnx(network):
        _check_onnx()
    schedule = _schedule()
    export = partial(_export_network, network, bundle, model, schedule, baking, learning)
    return partial(_write, bundle, export)


def _local(name: str, text: str) -> str:
    try:
        return str(local_path(text))
    except ValueError as error:
        raise InputError(f"--{name}={text}: {error}") from error


def _check_verify(bundle: Path) -> Callable[[], None]:
    network = None if FLAGS.network is None else Path(FLAGS.network)
    if network is None and FLAGS["inputs"].present:
        raise InputError("--inputs: is for the .onnx file of --network; add it, or leave this out")
    taken = ("bundle", "verify", "network", "inputs")
    for name in (name for name in FLAGS if name not in taken and FLAGS[name].present):
        raise InputError(f"--{name}: cannot be combined with --verify; leave one of them out")
    if network and not is_onnx(network):
        raise InputError(
            f"--network={network}: --verify takes an .onnx file; leave it out for a bundle with a "
            "SavedModel"
        )
    return partial(_verify, bundle, network, FLAGS.inputs or ())


def _check_onnx() -> None:
    """Raise InputError for flags that a network in an .onnx file has no use for."""
    for name in ("learn", "tables", "saved_model", "litert", "import"):
        if FLAGS[name].present and FLAGS[name].value:
            raise InputError(f"--{name}: is for Keras networks, not for .onnx files; leave it out")


def _learning() -> Learning | None:
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


def _model() -> Model:
    """What the flags say of --network, without its schedule."""
    mean, std = (_numbers(name, require_flag(FLAGS, name)) for name in ("pixel_mean", "pixel_std"))
    names = () if FLAGS.class_names is None else read_names(Path(FLAGS.class_names))
    file = FLAGS.conditions
    size = FLAGS.image_size and _numbers("image_size", FLAGS.image_size, int, "whole numbers")
    return Model(
        mean,
        std,
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


def _schedule() -> Callable[[], Any]:
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


def _write(bundle: Path, export: Callable[[], Any]) -> None:
    """Export a bundle, and print its certificate and what to do next."""
    # A process that is terminated must still remove its temporary folder.
    handle_kills(terminate)
    logging.getLogger("diffkiln.export").setLevel(logging.INFO)
    start = time.monotonic()
    print(export().table())
    print(f"Wrote {bundle} in {time.monotonic() - start:.0f} s. Next: ", end="")
    print(f"diffkiln-sample --bundle={shlex.quote(str(bundle))} --out=flowers.png")


def _export_run(path: Path, bundle: Path, baking: Baking, learning: Learning | None) -> Any:
    run, weights = RunDirectory(path), FLAGS.weights
    run.read_config()
    file = run.best_weights if weights == "best" else run.ema_weights
    if not file.is_file():
        with_data = ", with images held out," if weights == "best" else ""
        raise InputError(
            f"{file}: not there; let diffkiln-train{with_data} reach a checkpoint first"
        )
    with quiet_native_import():
        from .run import export_run
    return export_run(
        path, bundle, weights=weights, baking=baking, learning=learning, overwrite=FLAGS.overwrite
    )


def _export_network(
    network: Path,
    bundle: Path,
    model: Model,
    schedule: Callable[[], Any],
    baking: Baking,
    learning: Learning | None,
) -> Any:
    check_network_path(network)
    with quiet_native_import():
        from .bundle import write_bundle
        from .network.file import load_keras_file
    model = replace(model, schedule=schedule())
    modules = FLAGS["import"].value or ()
    loaded: Any = network if is_onnx(network) else load_keras_file(network, modules)
    return write_bundle(loaded, bundle, model, baking, learning, overwrite=FLAGS.overwrite)


def _verify(bundle: Path, network: Path | None, inputs: Sequence[str]) -> None:
    with quiet_native_import():
        from .verify import verify_bundle
    print(verify_bundle(bundle, network, inputs).table())
    print(f"{bundle} is what its manifest says.")


def main() -> int:
    """Run the command; the exit status."""
    prepare_streams()
    # Not on by default for all processors, and without it layers cannot have their channels first.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    return run_command("diffkiln-export", USAGE, FLAGS, _check, lambda task: task())
