"""A function that runs while its caller does something else, or that an exit must wait for."""

import _thread
import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from .errors import CancelledError

Value = TypeVar("Value")

_SECONDS_BETWEEN_LOOKS = 1.0


class _Thread(threading.Thread):
    """One that Python waits for before it exits, even if a daemon began it."""

    def __init__(self, target: Callable[[], object]) -> None:
        super().__init__(target=target, daemon=False)


class _Flag:
    """A threading.Event that is set once, and that Ctrl-C in a waiting thread cannot break.

    An Event's lock is taken and released by functions in Python. An exception from a signal between
    the two leaves it locked for ever. This lock only wakes those who wait: `is_set` is what counts.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._lock = _thread.allocate_lock()
        self._lock.acquire()

    def set(self) -> None:
        self.is_set = True
        self._lock.release()

    def wait(self, seconds: float) -> bool:
        """Wait for `set`, but no longer than so many seconds; whether it was called."""
        if not self.is_set and self._lock.acquire(timeout=seconds):
            self._lock.release()
        return self.is_set


class Background(Generic[Value]):
    """Calls `function` on a thread of its own, from `start` on.

    concurrent.futures does the same, but its import takes longer than the work here. Python waits
    for the thread before it exits: native code that still ran then would crash the process. Once
    nothing else keeps the process from exiting, another Background is a CancelledError.
    """

    def __init__(self, function: Callable[[], Value]) -> None:
        require_waiter()
        self._function = function
        self._error: BaseException | None = None
        self._process = os.getpid()
        self._begun, self._ended = _Flag(), _Flag()

    def start(self) -> "Background[Value]":
        """Begin; call this once only."""
        _thread.start_new_thread(self._start, ())
        self._begun.wait(_SECONDS_BETWEEN_LOOKS)
        return self

    def ended(self, seconds: float) -> bool:
        """Wait for the function, but no longer than so many seconds; whether it has ended."""
        return self._ended.wait(seconds)

    def result(self) -> Value:
        """Wait for the function and return its value, or raise its error."""
        if self._process != os.getpid() and not self._ended.is_set:
            return self._function()  # a fork has no threads of its parent
        self._await_end()
        if self._error is not None:
            raise self._error
        return self._value

    def wait(self) -> None:
        """Wait until it has ended, even if an interruption left open whether it began."""
        if self._begun.wait(_SECONDS_BETWEEN_LOOKS):
            self._await_end()

    def _await_end(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_LOOKS):
            pass

    def _start(self) -> None:
        """Make the thread, on one that signals never interrupt.

        Ctrl-C in the middle of Thread.start or Thread.join can leave CPython's locks in disorder,
        and one in the callbacks that run when a Thread is deleted would be lost.
        """
        try:
            _Thread(self._call).start()
        except BaseException as error:  # the system has no thread left
            self._error = error
            self._begun.set()
            self._ended.set()

    def _call(self) -> None:
        self._begun.set()
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()


def completed(function: Callable[[], Value]) -> Value:
    """Call a function that runs native code, and return its value, or raise its error.

    Python does not wait for a daemon thread before it exits, and a server's requests run on daemon
    threads. A thread that returns from native code after that ends the process with SIGABRT. So
    another thread makes the call for a daemon.
    """
    daemon = threading.current_thread().daemon
    return Background(function).start().result() if daemon else function()


def require_waiter() -> None:
    """CancelledError if Python is about to exit: all other threads are daemons or compute for them.

    Nobody gets what this thread would compute: daemons do not outlive the other threads.
    """
    current = threading.current_thread()
    if not current.daemon and not isinstance(current, _Thread):
        return
    main = threading.main_thread()  # a daemon, if a daemon forked this process
    if not any(
        thread.is_alive() and (thread is main or not thread.daemon)
        for thread in threading.enumerate()
        if not isinstance(thread, _Thread)
    ):
        raise CancelledError("sampling was cancelled, since the process exits")


def require_wanted(cancel: threading.Event | None) -> None:
    """CancelledError if `cancel` is set; ValueError if it is no event."""
    if cancel is None:
        return
    if not hasattr(cancel, "is_set"):
        raise ValueError(f"cancel={cancel!r}: expected a threading.Event, which cancels once set")
    if cancel.is_set():
        raise CancelledError("sampling was cancelled")
