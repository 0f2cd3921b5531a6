"""A process that opens bundles it is told of and samples from them, each in a fork of its own.

Reads paths from stdin, one a line, and writes for each a line of JSON: what came of it, and the
processor's seconds and the peak memory that it took. So a crash or a hang is one bundle's, and none
waits for imports.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable

from diffkiln.runtime import Sampler

# Of the processor, and of a clock for one that only waits, on a machine that may be very busy.
LIMIT_SECONDS, LIMIT_WAIT_SECONDS = 10, 120

Attempt = Callable[[str], tuple[str, str]]


def sampled(bundle: str) -> tuple[str, str]:
    """The kind of outcome and its message."""
    Sampler(bundle, device="cpu", threads=1).sample(1, steps=1)
    return "images", ""


def outcome(text: str, attempt: Attempt) -> tuple[str, str]:
    """The same, where it may also be an error of any kind."""
    try:
        return attempt(text)
    except BaseException as error:
        return type(error).__name__, str(error)


def forked(text: str, attempt: Attempt) -> dict[str, object]:
    """Attempt it in a fork, which the kernel ends if it takes far too long."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(LIMIT_WAIT_SECONDS)
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS))
        os.write(send, json.dumps(outcome(text, attempt)).encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as stream:
        found = stream.read()
    _, status, usage = os.wait4(child, 0)
    kind, message = json.loads(found) if found else (f"status {status}", "")
    return {
        "kind": kind,
        "message": message,
        "seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }


def answer(lines: Iterable[str], attempt: Attempt) -> None:
    """Write what comes of each line."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in lines:
        print(json.dumps(forked(line.rstrip("\n"), attempt)), flush=True)


if __name__ == "__main__":
    answer(sys.stdin, sampled)
