"""What a command prints: shown as far as it can be, and no reason to end."""

import contextlib
import io
import os
import sys
from typing import Any


class _Heard(io.RawIOBase):
    """A file descriptor to which writing never fails, even if its reader or terminal has gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, content) -> int:
        with contextlib.suppress(OSError):
            return os.write(self._descriptor, content)
        return len(content)


def prepare_streams() -> None:
    """Let stdout and stderr take every text, whether a shell has closed them (2>&-) or not.

    A run must not end because a log's disk is full, or because a terminal has been closed.
    Characters that a stream cannot show are written as escapes.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            # Otherwise the next file to be opened would get the number of the closed one.
            closed = open(os.devnull, mode, errors="backslashreplace")  # noqa: PTH123, SIM115
            setattr(sys, name, closed)
        elif mode == "w" and stream is getattr(sys, f"__{name}__"):
            with contextlib.suppress(OSError, ValueError):
                setattr(sys, name, _tolerant(stream))


def _tolerant(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    stream.flush()
    output: Any = _Heard(stream.fileno())
    return io.TextIOWrapper(
        output if stream.write_through else io.BufferedWriter(output),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
