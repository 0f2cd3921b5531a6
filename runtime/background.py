"""A function that runs while its caller does something else."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

_SECONDS_TO_BEGIN = 1.0


class Background(Generic[Value]):
    """Calls `function` on a thread of its own, from `start` on.

    As concurrent.futures would, whose import takes longer than what is begun here. Python waits
    for it before it ends: native code that still runs then would crash the process.
    """

    def __init__(self, function: Callable[[], Value]) -> None:
        self._function = function
        self._error: BaseException | None = None
        # A join that Ctrl-C breaks off may take the thread for ended ever after (CPython 3.11), so
        # none is waited for with it.
        self._begun, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._call)

    def start(self) -> "Background[Value]":
        """Begin, which may be done once."""
        self._thread.start()
        return self

    def result(self) -> Value:
        """Wait for what the function returns, or raise what it raised."""
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self) -> None:
        """Wait until it has ended, also if an interruption left open whether it began."""
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
