"""A progress bar is for people who wait at a terminal."""

import contextlib
import io
import os
import time

import pytest

from diffkiln.runtime.command import progress

pty = pytest.importorskip("pty", reason="Windows has no such terminals")
termios = pytest.importorskip("termios")


def work() -> None:
    with progress.progress(3, "images") as advance:
        for _ in range(3):
            advance(1)
            time.sleep(0.02)


def shown_at_a_terminal() -> str:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with (
        os.fdopen(ours, "rb", buffering=0) as terminal,
        os.fdopen(theirs, "w") as stderr,
        contextlib.redirect_stderr(stderr),
    ):
        work()
        stderr.flush()
        os.set_blocking(ours, False)
        return (terminal.read() or b"").decode()


def test_long_work_shows_a_bar_and_clears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.01)
    shown = shown_at_a_terminal()
    assert "2/3" in shown
    assert "images/s" in shown
    assert shown.rstrip("\r").rsplit("\r", 1)[-1].strip() == ""


def test_short_work_shows_nothing() -> None:
    assert shown_at_a_terminal() == ""


def test_nothing_is_shown_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0)
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        work()
    assert stderr.getvalue() == ""
