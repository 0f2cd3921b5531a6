"""A progress bar is for those who wait at a terminal."""

import os
import subprocess
import sys

import pytest

CODE = """
import sys, time
from diffkiln.runtime.command import progress
progress.PATIENCE_S = {patience_s}
with progress.progress(3, "images") as advance:
    for _ in range(3):
        advance(1)
        time.sleep(0.02)
print("tqdm" in sys.modules)
"""

pty = pytest.importorskip("pty", reason="Windows has no such terminals")
termios = pytest.importorskip("termios")


def at_a_terminal(code: str) -> tuple[str, str]:
    """What a program prints on stdout, and what it shows on a terminal as stderr."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, text=True, check=True
    )
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        os.set_blocking(terminal.fileno(), False)
        shown = terminal.read() or b""
    os.close(theirs)
    return done.stdout.strip(), shown.decode()


def test_long_work_shows_a_bar_and_clears_it() -> None:
    imported, shown = at_a_terminal(CODE.format(patience_s=0.01))
    assert imported == "True"
    assert "2/3" in shown
    assert "images/s" in shown
    assert shown.rstrip("\r").rsplit("\r", 1)[-1].strip() == ""


def test_short_work_shows_nothing() -> None:
    assert at_a_terminal(CODE.format(patience_s=60)) == ("False", "")


def test_nobody_at_a_terminal_sees_nothing() -> None:
    code = CODE.format(patience_s=0)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
