"""Runs `diffkiln-sample` without a process of its own, for tests of what it says and writes."""

import contextlib
import io
import subprocess

from diffkiln.runtime.command.sample import COMMAND


def run_sample(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The exit status and the output, as `subprocess.run` returns them for a real process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        status = COMMAND.run(arguments)
    return subprocess.CompletedProcess(arguments, status, stdout.getvalue(), stderr.getvalue())
