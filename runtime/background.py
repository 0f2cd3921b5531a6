"""A function that runs while its caller does something else."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

_SECONDS_TO_BEGIN = 1.0


class Background(Generic[Value]):
    """Calls `function` on a thread of its own, from `start` on.

    concurrent.futures does the same, but its import takes longer than the work here. Python waits
    for the thread before it exits: native code that still ran then would crash the process.
    """

    def __init__(self, function: Callable[[], Value]) -> None:
        self._function = function
        self._error: BaseException | None = None
        # Nothing joins the thread: after a join that Ctrl-C interrupts, CPython 3.11 may take the
        # thread for finished.
        self._begun, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._call)

    def start(self) -> "Background[Value]":
        """Begin; call this once only."""
        self._thread.start()
        return self

    def result(self) -> Value:
        """Wait for the function and return its value, or raise its error."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self) -> None:
        """Wait until it has ended, even if an interruption left open whether it began."""
        if self._begun.wait(_SECONDS_TO_BEGIN):
            self._ended.wait()

    def _call(self) -> None:
        self._begun.set()
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()
