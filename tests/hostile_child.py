"""A process that tries what it is told, each line of stdin in a process of its own.

A line is a JSON list of texts, by default the paths of bundles to sample from. The answer is a line
of JSON with what came of each: the kind of outcome, its message, and the processor's seconds and
the peak memory that it took. So a crash or a hang ends one line only, and none waits for imports.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from diffkiln.runtime import Sampler

try:
    import resource
except ImportError:  # Windows
    resource = None

# Of the processor, and of a clock for one that only waits, on a machine that may be very busy.
LIMIT_SECONDS, LIMIT_WAIT_SECONDS = 20, 120

Attempt = Callable[[str], tuple[str, str]]


def sampled(bundle: str) -> tuple[str, str]:
    """The kind of outcome and its message."""
    Sampler(bundle, device="cpu", threads=1).sample(1, steps=1)
    return "images", ""


def outcome(text: str, attempt: Attempt) -> dict[str, object]:
    """What comes of one attempt, which may be an error of any kind."""
    begun = time.process_time()
    try:
        kind, message = attempt(text)
    except BaseException as error:
        kind, message = type(error).__name__, str(error)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit if resource else 0
    seconds = time.process_time() - begun
    return {"kind": kind, "message": message, "seconds": seconds, "peak_mb": peak}


def outcomes(line: str, attempt: Attempt) -> Iterable[str]:
    """A line of JSON for each attempt, as soon as it is over."""
    return (json.dumps(outcome(text, attempt)) + "\n" for text in json.loads(line))


def forked(line: str, attempt: Attempt) -> tuple[str, int]:
    """The outcomes in a fork, which the kernel ends if it takes far too long; and its status."""
    import signal

    receive, send = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(LIMIT_WAIT_SECONDS)
        if resource:
            resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for found in outcomes(line, attempt):
            os.write(send, found.encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as stream:
        return stream.read(), os.waitpid(child, 0)[1]


def spawned(line: str, _: Attempt) -> tuple[str, int]:
    """The same where there is no fork: in a new process of this program."""
    done = subprocess.run(
        [sys.executable, sys.argv[0], "alone"],
        input=line,
        stdout=subprocess.PIPE,
        text=True,
        timeout=LIMIT_WAIT_SECONDS,
        check=False,
    )
    return done.stdout, done.returncode


def answer(lines: Iterable[str], attempt: Attempt) -> None:
    """Write what comes of each line; the last outcome is the status of a process that crashed."""
    if sys.argv[1:] == ["alone"]:
        sys.stdout.writelines(outcomes(next(iter(lines)), attempt))
        return
    isolated = forked if hasattr(os, "fork") else spawned
    for line in lines:
        text, status = isolated(line, attempt)
        found = [json.loads(one) for one in text.splitlines()]
        crash = [{"kind": f"status {status}", "message": "", "seconds": 0, "peak_mb": 0}]
        print(json.dumps(found + crash * bool(status)), flush=True)


if __name__ == "__main__":
    answer(sys.stdin, sampled)
