"""What the commands share: exit statuses, one-line errors, and a quiet onnxruntime."""

import _thread
import contextlib
import gc
import io
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..bundle.bundle import Bundle
from ..errors import DiffkilnError, UsageError
from .options import Option, parse_options

if TYPE_CHECKING:
    from ..sampler import Sampler

EXIT_FAILURE, EXIT_USAGE, EXIT_SIGNAL = 1, 2, 128
_SECONDS_TO_LEAVE_A_CALLBACK = 0.01


class Command(NamedTuple):
    """A console command: `body` gets the value of each flag by name and does the work."""

    program: str
    purpose: str
    example: str
    options: Sequence[Option]
    body: Callable[[Mapping[str, Any]], None]

    def main(self) -> int:
        """Run with the process's arguments; a polite kill ends it like Ctrl-C."""
        prepare_streams()
        handle_kills(_interrupt)
        sys.unraisablehook = _interrupt_again
        try:
            return self.run(sys.argv[1:])
        finally:
            # The process ends now; Python would search everything left for cycles first.
            gc.freeze()

    def run(self, arguments: Sequence[str]) -> int:
        """Run with these arguments; the exit status is 0, 1, 2 for usage, 130 or 143."""
        try:
            self._run(arguments)
        except UsageError as error:
            return self._fail(error, EXIT_USAGE)
        except BrokenPipeError:
            # The reader of our output has gone; Python's last flush must not complain as well.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_FAILURE
        except (DiffkilnError, OSError, MemoryError) as error:
            return self._fail(error, EXIT_FAILURE)
        except KeyboardInterrupt as error:
            # A note says what the body leaves behind.
            (left, *_) = getattr(error, "__notes__", ["nothing was written"])
            return self._fail(f"interrupted; {left}", EXIT_SIGNAL + _number(error))
        return 0

    def _run(self, arguments: Sequence[str]) -> None:
        if {"--help", "-help", "-h"} & set(arguments):
            print(self._help(), flush=True)
        elif {"--version", "-version"} & set(arguments):
            from importlib import metadata  # only here, so that pictures start sooner

            print(f"{self.program} {metadata.version('diffkiln')}", flush=True)
        else:
            values = parse_options(self.options, arguments)
            logging.basicConfig(format=f"{self.program}: %(message)s")
            self.body(values)

    def _help(self) -> str:
        width = max(len(option.usage) for option in self.options)
        described = "\n".join(option.describe(width) for option in self.options)
        return f"{self.purpose}\n\n  {self.example}\n\n{described}\n  --help, --version"

    def _fail(self, error: object, status: int) -> int:
        parts = [str(error) or type(error).__name__, *getattr(error, "__notes__", ())]
        text = " ".join("; ".join(parts).split())
        print(f"{self.program}: {text}", file=sys.stderr)
        return status


def prepare_streams() -> None:
    """Let stdout print every path, and open what a shell has closed (2>&-).

    Otherwise the next file to be opened would get the number of the closed one, and with it all
    that native code writes there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 (open to the end)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def handle_kills(handler: Callable[[int, Any], None]) -> None:
    """Call `handler` for a polite kill and for the end of the terminal, but not under nohup."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _interrupt(number: int, _: object) -> None:
    """End a polite kill like Ctrl-C, which removes what is half-written."""
    raise KeyboardInterrupt(number)


def _interrupt_again(ignored: Any) -> None:
    """Repeat an interruption that Python had to ignore, in a weak reference's callback or so."""
    error = ignored.exc_value
    if not isinstance(error, KeyboardInterrupt):
        sys.__unraisablehook__(ignored)
        return

    def repeat() -> None:
        time.sleep(_SECONDS_TO_LEAVE_A_CALLBACK)
        signal.raise_signal(_number(error))

    _thread.start_new_thread(repeat, ())


def _number(error: KeyboardInterrupt) -> int:
    return error.args[0] if error.args else signal.SIGINT


def load_sampler(bundle: Bundle, **settings: Any) -> "Sampler":
    """Make a Sampler so that onnxruntime writes nothing to this process's stderr."""
    with device_discovery_hidden():
        from ..engine.session import ONLY_FATAL, onnxruntime
        from ..sampler import Sampler
    # Whatever it logs from here on also arrives as an exception, or in a DeviceError of ours.
    onnxruntime.set_default_logger_severity(ONLY_FATAL)
    return Sampler(bundle, **settings)


@contextlib.contextmanager
def device_discovery_hidden() -> Iterator[None]:
    """Drop what onnxruntime writes to stderr on import when it finds no GPU it can describe.

    Native code writes it before any setting can reach it, so the file descriptor itself is
    redirected for that moment; every other line is passed on. Only Linux has these warnings, and
    only a command may do this: a library's stderr belongs to its host.
    """
    if sys.platform != "linux" or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # a full pipe must lose lines, not stop the process
    os.set_blocking(reader, False)
    os.dup2(writer, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(writer)
        with os.fdopen(reader, "rb") as held:
            lines = [line for line in held if b"device_discovery" not in line]
        os.write(2, b"".join(lines))
        os.close(kept)
