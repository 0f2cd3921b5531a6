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

from ..runtime.command.program import handle_kills, prepare_streams
from ..runtime.paths import local_path
from ..trainer.command import quiet_native_import, require_flag, run_command
from ..trainer.errors import InputError
from ..trainer.run.directory import RunDirectory
from .checks import check_network_path, is_onnx
from .flags import FLAGS, OF_NETWORK, given_learning, given_model, given_schedule
from .model import Model
from .options import Baking, Learning
from .publish import check_bundle_path, terminate
from .second import second_stage

USAGE = """Bake a trained model and its sampler into a bundle that other programs can run.

  diffkiln-export --run_dir=run --bundle=flowers.bundle
  diffkiln-export --network=net.keras --pixel_mean=0.5 --pixel_std=0.5 --bundle=flowers.bundle
  diffkiln-export --network=unet.onnx --pixel_mean=0.5 --pixel_std=0.5 --bundle=flowers.bundle
  diffkiln-export --run_dir=small --then=enlarging.bundle --bundle=large.bundle
  diffkiln-export --verify --bundle=flowers.bundle
"""

_CODEC = ("decoder", "encoder")
_FILES = ("network", *_CODEC)
_STAGE = ("then", "then_steps", "then_augmentation")
# --schedule and --import may also name something else, which stays as it is.
_PATHS = (
    *("bundle", "run_dir", "network", "schedule", "decoder", "encoder", "then"),
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
    baking, learning = Baking(**settings), given_learning()
    if learning is not None:
        baking.check_allows_tables()
    check_bundle_path(bundle, overwrite=FLAGS.overwrite)
    second_stage(*_stage())
    if learning is None and baking.tables is not None and not Path(baking.tables).is_file():
        raise InputError(f"--tables={baking.tables}: no such file; add --learn, or leave it out")
    if baking.tables is not None and not Path(baking.tables).absolute().parent.is_dir():
        raise InputError(f"--tables={baking.tables}: expected a path in an existing folder")
    if FLAGS.run_dir is not None:
        for name in (name for name in OF_NETWORK if FLAGS[name].present):
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
    network, model = Path(require_flag(FLAGS, "network")), given_model()
    named: list[Any] = [FLAGS[name].value for name in _CODEC]
    others = [None if name is None else Path(name) for name in named]
    files = network, *others
    _check_onnx(files)
    schedule = given_schedule()
    export = partial(_export_network, files, bundle, model, schedule, baking, learning)
    return partial(_write, bundle, export)


def _stage() -> Any:
    """What the flags say of a second stage."""
    return [FLAGS[name].value for name in _STAGE]


def _local(name: str, text: str) -> str:
    try:
        return str(local_path(text))
    except ValueError as error:
        raise InputError(f"--{name}={text}: {error}") from error


def _check_verify(bundle: Path) -> Callable[[], None]:
    named: list[Any] = [FLAGS[name].value for name in _FILES]
    files = [None if name is None else Path(name) for name in named]
    if files[0] is None:
        for name in (name for name in ("inputs", *_CODEC, "import") if FLAGS[name].present):
            problem = "goes with --network, the file that the bundle was made from"
            raise InputError(f"--{name}: {problem}; add it, or leave this out")
    taken = ("bundle", "verify", "inputs", "import", "then", *_FILES)
    for name in (name for name in FLAGS if name not in taken and FLAGS[name].present):
        raise InputError(f"--{name}: cannot be combined with --verify; leave one of them out")
    _check_onnx(files)
    second_stage(FLAGS.then)
    return partial(_verify, bundle, files, FLAGS.inputs or (), FLAGS.then)


def _check_onnx(files: Sequence[Path | None]) -> None:
    """Raise InputError for flags that networks in .onnx files have no use for."""
    kinds = [is_onnx(file) for file in files if file is not None]
    own, some, every = any(kinds[:1]), any(kinds), all(kinds)
    useless = {"learn": own, "tables": own, "saved_model": some, "litert": some, "import": every}
    for name in (name for name, applies in useless.items() if applies):
        if FLAGS[name].present and FLAGS[name].value:
            raise InputError(f"--{name}: is for Keras networks, not for .onnx files; leave it out")


def _write(bundle: Path, export: Callable[[], Any]) -> None:
    """Export a bundle, and print its certificate and what to do next."""
    # A process that is terminated must still remove its temporary folder.
    handle_kills(terminate)
    logging.getLogger("diffkiln.export").setLevel(logging.INFO)
    start = time.monotonic()
    certificate = export()
    print(certificate.table())
    print(f"Wrote {bundle} in {time.monotonic() - start:.0f} s. Next: ", end="")
    out = "pictures.png" if certificate.unit is None else "samples.npz"
    print(f"diffkiln-sample --bundle={shlex.quote(str(bundle))} --out={out}")


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
    stages = dict(zip(_STAGE, _stage(), strict=True))
    settings: Any = {"baking": baking, "learning": learning, "overwrite": FLAGS.overwrite}
    return export_run(path, bundle, weights=weights, **settings, **stages)


def _export_network(
    files: Sequence[Path | None],
    bundle: Path,
    model: Model,
    schedule: Callable[[], Any],
    baking: Baking,
    learning: Learning | None,
) -> Any:
    network, *codec = _loaded(files)
    with quiet_native_import():
        from .bundle import write_bundle
    model = replace(model, schedule=schedule())
    return write_bundle(
        *(network, bundle, model, baking, learning),
        codec=tuple(codec),
        second=second_stage(*_stage()),
        overwrite=FLAGS.overwrite,
    )


def _verify(
    bundle: Path, files: Sequence[Path | None], inputs: Sequence[str], then: str | None
) -> None:
    network, *codec = _loaded(files)
    with quiet_native_import():
        from .verify import verify_bundle
    print(verify_bundle(bundle, network, inputs, tuple(codec), then).table())
    print(f"{bundle} is what its manifest says.")


def _loaded(files: Sequence[Path | None]) -> list[Any]:
    """The models of .keras files among the network's, the decoder's and the encoder's."""
    for name, file in zip(_FILES, files, strict=True):
        if file is not None:
            check_network_path(file, name)
    with quiet_native_import():
        from .network.file import load_keras_file
    modules = FLAGS["import"].value or ()
    return [
        each if each is None or is_onnx(each) else load_keras_file(each, modules, name)
        for name, each in zip(_FILES, files, strict=True)
    ]


def main() -> int:
    """Run the command; the exit status."""
    prepare_streams()
    # Not on by default for all processors, and without it layers cannot have their channels first.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    return run_command("diffkiln-export", USAGE, FLAGS, _check, lambda task: task())
