"""Runs an installed command in a process forked from one that has imported TensorFlow already.

The import takes a third of a short training's time, and tests start some two hundred of those. What
is run is otherwise the command as it is installed: its entry point, in a process of its own that
has done nothing else.
"""

import atexit
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path

# All of what trainer and exporter import that starts no threads, which a fork would not copy.
_PRELOADED = ["diffkiln.trainer.training.train", "tensorflow_datasets", "tf2onnx"]
_CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()
if _CAN_FORK:
    _SERVER = multiprocessing.get_context("forkserver")
    _SERVER.set_forkserver_preload(_PRELOADED)


def run_forked(
    program: Path, arguments: Sequence[str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` of an installed console script would give, its output as text."""
    command = [str(program), *arguments]
    if not _CAN_FORK:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("stdout", "stderr")]
        settings = (command, outputs, str(Path.cwd()), dict(os.environ))
        process = _SERVER.Process(target=_run, args=settings)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        texts = [path.read_text(encoding="utf-8") for path in outputs]
        return subprocess.CompletedProcess(command, process.exitcode, *texts)


def _run(
    command: list[str], outputs: list[Path], folder: str, environment: Mapping[str, str]
) -> None:
    for descriptor, path in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # Imported before the command set up its log, TensorFlow has one of its own.
    logging.getLogger("tensorflow").handlers.clear()
    sys.argv = command
    (script,) = entry_points(group="console_scripts", name=Path(command[0]).name)
    try:
        status = script.load()()
    except SystemExit as end:
        status = end.code
    # multiprocessing would not, and would take apart what an ending interpreter leaves alone.
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status if isinstance(status, int) else int(bool(status)))
