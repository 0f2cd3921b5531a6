"""The command `diffkiln-export`."""

import shlex
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from absl import flags

from ..trainer.command import quiet_native_import, require_flag, run_command
from ..trainer.errors import InputError
from ..trainer.run_directory import RunDirectory
from .options import GRAPHS, IMAGE_DTYPES, check_bundle_path, check_graphs

FLAGS = flags.FlagValues()

USAGE = """Bake a trained model and its sampler into a bundle that other programs can run.

  diffkiln-export --run_dir=run --bundle=flowers.bundle
"""

flags.DEFINE_string("run_dir", None, "folder of a diffkiln-train run", flag_values=FLAGS)
flags.DEFINE_string("bundle", None, "folder to write the bundle to", flag_values=FLAGS)
flags.DEFINE_bool("overwrite", False, "replace an existing bundle", flag_values=FLAGS)
flags.DEFINE_enum(
    "image_dtype",
    "uint8",
    IMAGE_DTYPES,
    "of the images that come out: 0 to 255, or 0.0 to 1.0",
    flag_values=FLAGS,
)
flags.DEFINE_list(
    "graphs",
    list(GRAPHS),
    "ONNX graphs to write; sampler is always among them",
    flag_values=FLAGS,
)


@dataclass(frozen=True)
class _Arguments:
    run: RunDirectory
    bundle: Path


def _check() -> _Arguments:
    run_dir, bundle = require_flag(FLAGS, "run_dir"), require_flag(FLAGS, "bundle")
    check_graphs(FLAGS.graphs)
    check_bundle_path(Path(bundle), overwrite=FLAGS.overwrite)
    return _Arguments(RunDirectory(Path(run_dir)), Path(bundle))


def _run(arguments: _Arguments) -> None:
    run, bundle = arguments.run, arguments.bundle
    run.read_config()
    if not run.ema_weights.is_file():
        raise InputError(
            f"{run.ema_weights}: not there; let diffkiln-train reach a checkpoint first"
        )
    # Ended from outside, the process must still clear its temporary folder away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    started = time.monotonic()
    with quiet_native_import():
        from .run import export_run
    certificate = export_run(
        run.path,
        bundle,
        graphs=FLAGS.graphs,
        image_dtype=FLAGS.image_dtype,
        overwrite=FLAGS.overwrite,
    )
    print(f"Parity over seeds {list(certificate.seeds)}, steps {list(certificate.steps)}:")
    print(certificate.table())
    print(f"Wrote {bundle} in {time.monotonic() - started:.0f} s. Next: ", end="")
    print(f"diffkiln-sample --bundle={shlex.quote(str(bundle))} --out=flowers.png")


def main() -> int:
    """Run the command; the exit status."""
    return run_command("diffkiln-export", USAGE, FLAGS, _check, _run)


if __name__ == "__main__":
    sys.exit(main())
