"""A fresh process of the benchmark, as the command sees it."""

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
from .protocol import Answer

# How long a process may take to end once its input has ended.
_SECONDS_TO_END = 10


class Process(contextlib.AbstractContextManager["Process"]):
    """Serves a module's `prepare` in a fresh Python, for as long as the `with` lasts.

    `ready` is its answer to the job. Raises the DiffkilnError that the process answers with, or
    RunError if it ends in any other way.
    """

    def __init__(self, module: str, job: Mapping[str, Any], **environment: str) -> None:
        self._module = module
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the process has ended)
        # A killed process cannot remove its temporary files.
        self._temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        environment |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._temporary.name)
        # Ctrl-C does not reach the process; the command ends it.
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        started = time.perf_counter()  # the whole system's clock: the process counts from here
        self._process = subprocess.Popen(
            # -P keeps files in the current folder from replacing libraries.
            [sys.executable, "-P", "-m", f"{__package__}.protocol", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            encoding="utf-8",
            env={**os.environ, **environment},
            **apart,
        )
        self._stdin = cast("IO[str]", self._process.stdin)
        self._stdout = cast("IO[str]", self._process.stdout)
        self.pid = self._process.pid
        with contextlib.ExitStack() as stack:
            stack.push(self)  # an exception ends the process
            self.ready = self._ask(json.dumps({**job, "started": started}))
            stack.pop_all()

    def turn(self) -> Answer:
        """Let the process do its work once; return its measurements."""
        return self._ask("go")

    def _ask(self, line: str) -> Answer:
        with contextlib.suppress(OSError):  # it has ended, and its answer says why
            self._stdin.write(line + "\n")
            self._stdin.flush()
        text = self._stdout.readline()
        if not text:
            status = self._process.wait()
            self._stderr.seek(0)
            lines = self._stderr.read().decode(errors="replace").strip().splitlines()
            words = f": {lines[-1]}" if lines else ""
            raise RunError(f"{self._module} ended with status {status} and no answer{words}")
        answer = json.loads(text)
        if "error" in answer:
            kind = getattr(errors, answer["kind"], None)
            if isinstance(kind, type) and issubclass(kind, DiffkilnError):
                raise kind(answer["error"])
            raise RunError(f"{self._module} failed: {answer['kind']}: {answer['error']}")
        return answer

    def __exit__(self, kind: object, *_: object) -> None:
        """Kill the process, or close its input and give it time to end; wait until it is gone."""
        if kind is not None:
            self._process.kill()
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            self._stdout.close()
            self._stderr.close()
            self._temporary.cleanup()
