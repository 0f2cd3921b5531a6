"""The command `diffkiln-export`."""

import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

from absl import flags

from ..trainer.command import quiet_native_import, require_flag, run_command
from ..trainer.config import CONDITIONINGS, PREDICTIONS, SCHEDULES, check_signal_rates
from ..trainer.errors import InputError
from ..trainer.run.directory import RunDirectory
from .options import WEIGHTS, Baking, Model
from .publish import check_bundle_path, terminate

FLAGS = flags.FlagValues()

USAGE = """Bake a trained model and its sampler into a bundle that other programs can run.

  diffkiln-export --run_dir=run --bundle=flowers.bundle
  diffkiln-export --network=net.keras --pixel_mean=0.5 --pixel_std=0.5 --bundle=flowers.bundle
  diffkiln-export --verify --bundle=flowers.bundle
"""

_DEFINE: dict[Any, Callable[..., Any]] = {
    bool: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    float | None: flags.DEFINE_float,
    int | None: flags.DEFINE_integer,
    str: flags.DEFINE_string,
    list: flags.DEFINE_list,
}


def _flag(kind: Any, name: str, default: Any, text: str) -> None:
    _DEFINE[kind](name, default, text, flag_values=FLAGS)


def _choice(name: str, default: str | None, choices: Sequence[str], text: str) -> None:
    flags.DEFINE_enum(name, default, choices, text, flag_values=FLAGS)


def _baking_flag(field: Field[Any]) -> None:
    """Define the flag of a field of `Baking`."""
    default: Any = field.default
    if field.metadata["choices"]:
        _choice(field.name, default, field.metadata["choices"], field.metadata["help"])
    elif isinstance(default, tuple):
        _flag(list, field.name, list(default), field.metadata["help"])
    else:
        _flag(field.type, field.name, default, field.metadata["help"])


_flag(str, "bundle", None, "folder to write the bundle to")
_flag(bool, "overwrite", False, "replace an existing bundle")
_flag(bool, "verify", False, "check an existing bundle, and write nothing")
_flag(str, "run_dir", None, "folder of a diffkiln-train run")
_choice(
    "weights",
    None,
    WEIGHTS,
    "weights of --run_dir, by default latest; best by held-out loss or KID",
)

_flag(str, "network", None, "a .keras file, instead of --run_dir")
_flag(list, "pixel_mean", None, "mean of --network's pixels, 0 to 1: one number or one per channel")
_flag(list, "pixel_std", None, "their standard deviation: one number or one per channel")
_choice("schedule", None, SCHEDULES, "noise schedule of --network; cosine by default")
_flag(float, "max_signal_rate", None, "signal rate of a cosine schedule at t = 0; 0.95 by default")
_flag(float, "min_signal_rate", None, "signal rate of a cosine schedule at t = 1; 0.02 by default")
_choice("prediction", None, PREDICTIONS, "what --network puts out; noise by default")
_choice("conditioning", None, CONDITIONINGS, "the condition that --network takes; time by default")
_flag(
    str, "class_names", None, "text file with a class name on each line, if --network takes labels"
)
for _field in fields(Baking):
    _baking_flag(_field)

_OF_MODEL = ("pixel_mean", "pixel_std", "prediction", "conditioning", "class_names")
_OF_NETWORK = ("schedule", "max_signal_rate", "min_signal_rate", *_OF_MODEL)

Task = Callable[[], None]


def _check() -> Task:
    bundle = Path(require_flag(FLAGS, "bundle"))
    if FLAGS.verify:
        for name in FLAGS:
            if FLAGS[name].present and name not in ("bundle", "verify"):
                raise InputError(
                    f"--{name}: cannot be combined with --verify; leave one of them out"
                )
        return lambda: _verify(bundle)
    if FLAGS.run_dir is None and FLAGS.network is None:
        raise InputError(
            "--run_dir: expected the folder of a diffkiln-train run, or else --network with a "
            ".keras file; see --help"
        )
    if FLAGS.run_dir is not None and FLAGS.network is not None:
        raise InputError("--network: cannot be combined with --run_dir; leave one of them out")
    settings: Any = {field.name: FLAGS[field.name].value for field in fields(Baking)}
    baking = Baking(**settings)
    check_bundle_path(bundle, overwrite=FLAGS.overwrite)
    if FLAGS.run_dir is not None:
        _refuse_network_flags()
        return lambda: _export_run(RunDirectory(Path(FLAGS.run_dir)), bundle, baking)
    if FLAGS.weights is not None:
        raise InputError(
            f"--weights={FLAGS.weights}: only a run has several; leave it out, or give --run_dir"
        )
    network, model = Path(require_flag(FLAGS, "network")), _model()
    schedule, rates = FLAGS.schedule or "cosine", _signal_rates()
    return lambda: _export_network(network, bundle, model, (schedule, *rates), baking)


def _refuse_network_flags() -> None:
    for name in _OF_NETWORK:
        if FLAGS[name].value is not None:
            raise InputError(
                f"--{name}={FLAGS[name].value}: config.json of the run says it; leave it out, or "
                "give --network instead of --run_dir"
            )


def _model() -> Model:
    """What the flags say of --network, without its schedule."""
    settings: Any = {name: FLAGS[name].value for name in _OF_MODEL if FLAGS[name].value is not None}
    for name in ("pixel_mean", "pixel_std"):
        settings[name] = _numbers(name, require_flag(FLAGS, name))
    if "class_names" in settings:
        settings["class_names"] = _lines(Path(settings["class_names"]))
    return Model(**settings)


def _signal_rates() -> tuple[float, float]:
    largest = 0.95 if FLAGS.max_signal_rate is None else FLAGS.max_signal_rate
    least = 0.02 if FLAGS.min_signal_rate is None else FLAGS.min_signal_rate
    check_signal_rates(largest, least)
    if FLAGS.schedule not in (None, "cosine") and (largest, least) != (0.95, 0.02):
        raise InputError(f"--max_signal_rate: {FLAGS.schedule} has no such setting; leave it out")
    return largest, least


def _numbers(name: str, texts: Any) -> tuple[float, ...]:
    try:
        return tuple(float(text) for text in texts)
    except ValueError as error:
        raise InputError(
            f"--{name}={','.join(texts)}: expected numbers from 0 to 1 with commas between"
        ) from error


def _lines(file: Path) -> tuple[str, ...]:
    try:
        return tuple(file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--class_names={file}: cannot be read ({error}); expected a text file in UTF-8 with "
            "the name of each class on a line"
        ) from error


def _export_run(run: RunDirectory, bundle: Path, baking: Baking) -> None:
    run.read_config()
    file = run.best_weights if FLAGS.weights == "best" else run.ema_weights
    if not file.is_file():
        with_data = ", with images held out," if FLAGS.weights == "best" else ""
        raise InputError(
            f"{file}: not there; let diffkiln-train{with_data} reach a checkpoint first"
        )
    started = _start()
    with quiet_native_import():
        from .run import export_run
    weights, overwrite = FLAGS.weights or "latest", FLAGS.overwrite
    certificate = export_run(run.path, bundle, weights=weights, baking=baking, overwrite=overwrite)
    _report(certificate, bundle, started)


def _export_network(
    network: Path, bundle: Path, model: Model, schedule: tuple[str, float, float], baking: Baking
) -> None:
    if not network.is_file():
        raise InputError(f"network={network}: no such file; expected one that model.save wrote")
    started = _start()
    with quiet_native_import():
        from ..trainer.maths.schedules import make_schedule
        from .bundle import write_bundle
        from .run import load_keras_file
    model = replace(model, schedule=make_schedule(*schedule))
    loaded = load_keras_file(network)
    certificate = write_bundle(loaded, bundle, model, baking, overwrite=FLAGS.overwrite)
    _report(certificate, bundle, started)


def _verify(bundle: Path) -> None:
    with quiet_native_import():
        from .verify import verify_bundle
    _print_parity(verify_bundle(bundle))
    print(f"{bundle} is what its manifest says.")


def _start() -> float:
    """The time; a process that is terminated must still remove its temporary folder."""
    signal.signal(signal.SIGTERM, terminate)
    return time.monotonic()


def _report(certificate: Any, bundle: Path, started: float) -> None:
    _print_parity(certificate)
    print(f"Wrote {bundle} in {time.monotonic() - started:.0f} s. Next: ", end="")
    print(f"diffkiln-sample --bundle={shlex.quote(str(bundle))} --out=flowers.png")


def _print_parity(certificate: Any) -> None:
    print(f"Parity over seeds {list(certificate.seeds)}, steps {list(certificate.steps)}:")
    print(certificate.table())


def main() -> int:
    """Run the command; the exit status."""
    return run_command("diffkiln-export", USAGE, FLAGS, _check, lambda task: task())


if __name__ == "__main__":
    sys.exit(main())
