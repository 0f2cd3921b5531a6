"""What ends a run between two steps: a signal, or the end of its time."""

import math
import signal
import time
from types import FrameType
from typing import Any

# EX_TEMPFAIL of sysexits.h: try again later.
OUT_OF_TIME_STATUS = 75
_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")


class Interrupted(Exception):  # noqa: N818 (it is no error)
    """A measurement was left unfinished, since the run is to end."""


class Stop:
    """While it is entered, signals are noted instead of ending the process.

    `deadline` is a time of `time.monotonic`, in seconds, at which the run is to end too.
    """

    def __init__(self, deadline: float = math.inf) -> None:
        self._deadline = deadline
        self._received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stop":
        for name in _SIGNALS:
            number = getattr(signal, name, None)  # Windows has only some
            # Under nohup, the end of the terminal is not the end of the run.
            if number and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._received = self._received or signal.Signals(number)

    @property
    def status(self) -> int:
        """The exit status of a command that ends for this reason, 0 while there is none."""
        if self._received:
            return 128 + self._received
        return OUT_OF_TIME_STATUS if time.monotonic() >= self._deadline else 0

    def check(self) -> None:
        """Raise Interrupted if the run is to end: called within what takes long."""
        if self.status:
            raise Interrupted


def reason(status: int) -> str:
    """What gave a command this exit status: a signal's name, or --max_hours."""
    return "--max_hours" if status == OUT_OF_TIME_STATUS else signal.Signals(status - 128).name
