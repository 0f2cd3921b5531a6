"""A fresh process of the benchmark, seen from the command."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import IO, Any, cast

from .. import errors
from ..errors import DiffkilnError, RunError
from .protocol import GO, Answer

# For a process whose input has ended, before it is killed.
_SECONDS_TO_END = 10


class Process:
    """Runs a module of this package in a fresh Python, for as long as the `with` lasts.

    `ready` is its first answer, to the job. Raises the DiffkilnError that it answers with, or
    RunError if it ends in any other way.
    """

    def __init__(self, module: str, job: Mapping[str, Any], **environment: str) -> None:
        self._module = module
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the process has ended)
        started = time.perf_counter()  # the clock of the whole system: the process counts from here
        self._process = subprocess.Popen(
            # -P keeps files in the current folder from standing in for libraries.
            [sys.executable, "-P", "-m", f"{__package__}.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            encoding="utf-8",
            env={**os.environ, **environment},
            # Ctrl-C reaches the command alone, which then ends its processes.
            start_new_session=True,
        )
        self.pid = self._process.pid
        try:
            self.ready = self._ask(json.dumps({**job, "started": started}))
        except BaseException:
            self._end(at_once=True)
            raise

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._end(at_once=kind is not None)

    def turn(self) -> Answer:
        """Let it do its work once; what it measured."""
        return self._ask(GO)

    def _ask(self, line: str) -> Answer:
        stdin, stdout = self._pipes()
        with contextlib.suppress(OSError):  # it has ended; what it answered says why
            stdin.write(line + "\n")
            stdin.flush()
        text = stdout.readline()
        if not text:
            raise RunError(self._last_words())
        answer = json.loads(text)
        if "error" in answer:
            raise self._error(answer)
        return answer

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        return cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)

    def _error(self, answer: Answer) -> DiffkilnError:
        kind = getattr(errors, answer["kind"], None)
        if isinstance(kind, type) and issubclass(kind, DiffkilnError):
            return kind(answer["error"])
        return RunError(f"{self._module} failed: {answer['kind']}: {answer['error']}")

    def _last_words(self) -> str:
        status = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        words = f": {lines[-1]}" if lines else ""
        return f"{self._module} ended with status {status} and no answer{words}"

    def _end(self, *, at_once: bool) -> None:
        """End it, kindly if it has time to, and wait until it is gone."""
        stdin, stdout = self._pipes()
        if at_once:
            self._process.kill()
        with contextlib.suppress(OSError):
            stdin.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            stdout.close()
            self._stderr.close()
