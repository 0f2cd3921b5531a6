"""Runs an installed command in a process forked from one that has imported TensorFlow already.

The import takes half of a short training's time, and tests start some hundred of those. What is run
is otherwise the command as it is installed: its entry point, in a process of its own that has done
nothing else.
"""

import atexit
import gc
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

# All of what trainer and exporter import that starts no threads, which a fork would not copy.
_PRELOADED = ["diffkiln.trainer.training.train", "tensorflow_datasets", "tf2onnx"]
_CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()
if _CAN_FORK:
    _SERVER = multiprocessing.get_context("forkserver")
    _SERVER.set_forkserver_preload(_PRELOADED)


class ForkedCommand:
    """A running command, with the part of `subprocess.Popen` that the tests use.

    `command` is a console script, or `[sys.executable, "-c", source]`, with its arguments. With
    `largest_file`, no file that it writes can grow beyond that many bytes, as on a full disk.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        largest_file: int | None = None,
    ) -> None:
        self.args = list(map(str, command))
        self._folder = tempfile.TemporaryDirectory()
        self._outputs = [Path(self._folder.name, name) for name in ("stdout", "stderr")]
        self._texts: list[str] = []
        environment = dict(os.environ if env is None else env)
        settings = (self.args, self._outputs, str(Path.cwd()), environment, largest_file)
        self._process = _SERVER.Process(target=_run, args=settings)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; stdout and stderr as text."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        if not self._texts:
            self._texts = [path.read_text(encoding="utf-8") for path in self._outputs]
            self._folder.cleanup()
        output, errors = self._texts
        return output, errors


# Systems that cannot fork start each command by itself.
Running = ForkedCommand | subprocess.Popen[str]


def start_command(command: Sequence[str | Path], **settings: Any) -> Running:
    """Start a command, whose output `communicate` returns; `settings` are ForkedCommand's."""
    if _CAN_FORK:
        return ForkedCommand(command, **settings)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, **settings)


def run_command(
    command: Sequence[str | Path], timeout: float = 300, **settings: Any
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` of a command would give, its output as text."""
    process = start_command(command, **settings)
    try:
        output = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode or 0, *output)


def _run(
    command: list[str],
    outputs: list[Path],
    folder: str,
    environment: Mapping[str, str],
    largest_file: int | None,
) -> None:
    for descriptor, path in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if largest_file is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    # Imported before the command set up its log, TensorFlow has one of its own.
    logging.getLogger("tensorflow").handlers.clear()
    # What was imported is never garbage, and looking through it takes a tenth of the time.
    gc.freeze()
    try:
        status = _main(command)
    except SystemExit as end:
        status = end.code
    # multiprocessing would not, and would take apart what an ending interpreter leaves alone.
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status if isinstance(status, int) else int(bool(status)))


def _main(command: list[str]) -> object:
    if command[1:2] == ["-c"]:
        sys.argv = command[1:2] + command[3:]
        return exec(command[2], {"__name__": "__main__"})
    sys.argv = command
    (script,) = entry_points(group="console_scripts", name=Path(command[0]).name)
    return script.load()()
