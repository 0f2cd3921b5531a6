"""The command `diffkiln-export`."""

import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from ..trainer.command import quiet_native_import, require_flag, run_command
from ..trainer.config import (
    CONDITIONINGS,
    PREDICTIONS,
    SCHEDULES,
    SOLVERS,
    TIME_GRIDS,
    check_signal_rates,
)
from ..trainer.errors import InputError
from ..trainer.run.directory import RunDirectory
from .options import (
    GRAPHS,
    IMAGE_DTYPES,
    MORE_GRAPHS,
    PRECISIONS,
    WEIGHTS,
    Baking,
    check_baking,
    check_bundle_path,
)

FLAGS = flags.FlagValues()

USAGE = """Bake a trained model and its sampler into a bundle that other programs can run.

  diffkiln-export --run_dir=run --bundle=flowers.bundle
  diffkiln-export --network=net.keras --pixel_mean=0.5 --pixel_std=0.5 --bundle=flowers.bundle
  diffkiln-export --verify --bundle=flowers.bundle
"""


def _choice(name: str, default: str | None, choices: tuple[str, ...], text: str) -> None:
    flags.DEFINE_enum(name, default, choices, text, flag_values=FLAGS)


flags.DEFINE_string("bundle", None, "folder to write the bundle to", flag_values=FLAGS)
flags.DEFINE_bool("overwrite", False, "replace an existing bundle", flag_values=FLAGS)
flags.DEFINE_bool("verify", False, "check an existing bundle, and write nothing", flag_values=FLAGS)
flags.DEFINE_string("run_dir", None, "folder of a diffkiln-train run", flag_values=FLAGS)
_choice("weights", None, WEIGHTS, "of --run_dir, by default latest; best by held-out loss or KID")

flags.DEFINE_string("network", None, "a .keras file, instead of --run_dir", flag_values=FLAGS)
flags.DEFINE_list(
    "pixel_mean", None, "of --network: one number or one per channel, 0 to 1", flag_values=FLAGS
)
flags.DEFINE_list(
    "pixel_std", None, "of --network: one number or one per channel, 0 to 1", flag_values=FLAGS
)
_choice("schedule", None, SCHEDULES, "of --network; cosine unless given")
flags.DEFINE_float(
    "max_signal_rate", None, "of --network's cosine schedule; 0.95 unless given", flag_values=FLAGS
)
flags.DEFINE_float(
    "min_signal_rate", None, "of --network's cosine schedule; 0.02 unless given", flag_values=FLAGS
)
_choice("prediction", None, PREDICTIONS, "what --network puts out; noise unless given")
_choice("conditioning", None, CONDITIONINGS, "what --network is told; time unless given")
flags.DEFINE_string(
    "class_names",
    None,
    "of --network that takes labels: a text file with the name of each class on a line",
    flag_values=FLAGS,
)

_choice("solver", "ddim", SOLVERS, "how a step is made")
flags.DEFINE_float("eta", 0.0, "fresh noise of ddim, 0 to 1 (DDPM)", flag_values=FLAGS)
_choice("time_grid", "linear", TIME_GRIDS, "where the steps lie")
flags.DEFINE_bool("clip", True, "hold predicted images in the range of pixels", flag_values=FLAGS)
_choice("image_dtype", "uint8", IMAGE_DTYPES, "of images: 0 to 255, or 0.0 to 1.0")
flags.DEFINE_list(
    "graphs",
    list(GRAPHS),
    f"ONNX graphs to write, sampler among them; also {', '.join(MORE_GRAPHS)}",
    flag_values=FLAGS,
)
_choice("precision", "float32", PRECISIONS, "of the networks in the ONNX graphs")
flags.DEFINE_integer(
    "unroll_steps", None, "write so many steps out instead of a loop", flag_values=FLAGS
)
flags.DEFINE_integer("batch_size", None, "fix the batch of --unroll_steps", flag_values=FLAGS)
flags.DEFINE_bool(
    "saved_model",
    True,
    "write the SavedModel too, which TensorFlow and --verify read",
    flag_values=FLAGS,
)
flags.DEFINE_float(
    "default_guidance",
    None,
    "guidance towards a class that programs use unless they are told; 2 unless given",
    flag_values=FLAGS,
)

_OF_NETWORK = (
    "pixel_mean",
    "pixel_std",
    "schedule",
    "max_signal_rate",
    "min_signal_rate",
    "prediction",
    "conditioning",
    "class_names",
)
_BAKING = tuple(name for name in Baking.__annotations__)

Task = Callable[[], None]


def _check() -> Task:
    bundle = Path(require_flag(FLAGS, "bundle"))
    if FLAGS.verify:
        _refuse_beside_verify()
        return lambda: _verify(bundle)
    baking: Any = {name: FLAGS[name].value for name in _BAKING}
    if FLAGS.run_dir is None and FLAGS.network is None:
        raise InputError(
            "--run_dir: expected the folder of a diffkiln-train run, or else --network with a "
            ".keras file; see --help"
        )
    if FLAGS.run_dir is not None and FLAGS.network is not None:
        raise InputError("--network: says nothing beside --run_dir; leave one of them out")
    check_baking(baking)
    check_bundle_path(bundle, overwrite=FLAGS.overwrite)
    if FLAGS.run_dir is not None:
        _refuse_network_flags()
        return lambda: _export_run(RunDirectory(Path(FLAGS.run_dir)), bundle, baking)
    if FLAGS.weights is not None:
        raise InputError(
            f"--weights={FLAGS.weights}: only a run has several; leave it out, or give --run_dir"
        )
    network, settings = Path(require_flag(FLAGS, "network")), _network_settings()
    return lambda: _export_network(network, bundle, {**settings, **baking})


def _refuse_beside_verify() -> None:
    for name in FLAGS:
        if FLAGS[name].present and name not in ("bundle", "verify"):
            raise InputError(f"--{name}: says nothing beside --verify; leave one of them out")


def _refuse_network_flags() -> None:
    for name in _OF_NETWORK:
        if FLAGS[name].value is not None:
            raise InputError(
                f"--{name}={FLAGS[name].value}: the run knows its own; leave it out, or give "
                "--network instead of --run_dir"
            )


def _network_settings() -> dict[str, Any]:
    settings = {name: FLAGS[name].value for name in _OF_NETWORK}
    given = {name: value for name, value in settings.items() if value is not None}
    for name in ("pixel_mean", "pixel_std"):
        given[name] = _numbers(name, require_flag(FLAGS, name))
    if "class_names" in given:
        given["class_names"] = _lines(Path(given["class_names"]))
    rates = given.get("max_signal_rate", 0.95), given.get("min_signal_rate", 0.02)
    check_signal_rates(*rates)
    if given.get("schedule", "cosine") != "cosine" and rates != (0.95, 0.02):
        raise InputError(f"--max_signal_rate: {given['schedule']} has no such setting")
    return given


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


def _export_run(run: RunDirectory, bundle: Path, baking: Any) -> None:
    run.read_config()
    weights = run.best_weights if FLAGS.weights == "best" else run.ema_weights
    if not weights.is_file():
        with_data = ", with images held out," if FLAGS.weights == "best" else ""
        raise InputError(
            f"{weights}: not there; let diffkiln-train{with_data} reach a checkpoint first"
        )
    _clear_away_when_ended()
    started = time.monotonic()
    with quiet_native_import():
        from .run import export_run
    _report(
        export_run(run.path, bundle, weights=FLAGS.weights or "latest", **baking), bundle, started
    )


def _export_network(network: Path, bundle: Path, settings: dict[str, Any]) -> None:
    if not network.is_file():
        raise InputError(f"network={network}: no such file; expected one that model.save wrote")
    _clear_away_when_ended()
    started = time.monotonic()
    with quiet_native_import():
        from ..trainer.maths.schedules import make_schedule
        from .bundle import export_bundle
        from .run import load_keras_file
    names = ("schedule", "max_signal_rate", "min_signal_rate")
    of_schedule = {name: settings.pop(name) for name in names if name in settings}
    schedule = make_schedule(of_schedule.pop("schedule", "cosine"), **of_schedule)
    certificate = export_bundle(load_keras_file(network), bundle, schedule=schedule, **settings)
    _report(certificate, bundle, started)


def _verify(bundle: Path) -> None:
    with quiet_native_import():
        from .verify import verify_bundle
    certificate = verify_bundle(bundle)
    print(f"Parity over seeds {list(certificate.seeds)}, steps {list(certificate.steps)}:")
    print(certificate.table())
    print(f"{bundle} is what its manifest says.")


def _clear_away_when_ended() -> None:
    # Ended from outside, the process must still clear its temporary folder away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _report(certificate: Any, bundle: Path, started: float) -> None:
    print(f"Parity over seeds {list(certificate.seeds)}, steps {list(certificate.steps)}:")
    print(certificate.table())
    print(f"Wrote {bundle} in {time.monotonic() - started:.0f} s. Next: ", end="")
    print(f"diffkiln-sample --bundle={shlex.quote(str(bundle))} --out=flowers.png")


def main() -> int:
    """Run the command; the exit status."""
    return run_command("diffkiln-export", USAGE, FLAGS, _check, lambda task: task())


if __name__ == "__main__":
    sys.exit(main())
