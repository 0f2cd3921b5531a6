"""Signals that end a run between two steps."""

import contextlib
import signal
from collections.abc import Iterator

_STOPPING = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stop_signals() -> Iterator[list[str]]:
    """A list to which a SIGTERM or SIGINT adds its name, so that a loop can end between steps."""
    received: list[str] = []
    before = [
        signal.signal(number, lambda number, _: received.append(signal.Signals(number).name))
        for number in _STOPPING
    ]
    try:
        yield received
    finally:
        for number, handler in zip(_STOPPING, before, strict=True):
            signal.signal(number, handler)
