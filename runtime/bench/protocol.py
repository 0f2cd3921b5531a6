"""How the benchmark's fresh processes and the command talk: one line of JSON each way.

The command sends a job, the process answers when it is ready; then every "go" is one turn, answered
with what it measured. The end of the input ends the process, so that none is left over when the
command is killed.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

GO = "go"

# Threads of the work before may spin on for some 20 ms, and would slow what runs next.
REST_SECONDS = 0.05

Job = Mapping[str, Any]
Answer = dict[str, Any]
Turn = Callable[[], Answer]


def serve(prepare: Callable[[Job], tuple[Answer, Turn]]) -> None:
    """Answer the lines on stdin: `prepare` makes the first answer of the job, and the turn.

    An exception is answered as {"error": its text, "kind": its class} and ends the process.
    """
    # What a library prints must not get between the answers.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(BrokenPipeError):  # nobody is left to answer
        try:
            about, turn = prepare(json.loads(sys.stdin.readline()))
            _answer(channel, about)
            for _ in sys.stdin:
                _answer(channel, turn())
        except Exception as error:  # whatever a runtime raises, it is the command that reports it
            _answer(channel, {"error": str(error), "kind": type(error).__name__})


def _answer(channel: Any, answer: Answer) -> None:
    channel.write(json.dumps(answer) + "\n")
    channel.flush()


def milliseconds(task: Callable[[], object]) -> float:
    """Time a task once, after a rest."""
    time.sleep(REST_SECONDS)
    start = time.perf_counter()
    task()
    return 1e3 * (time.perf_counter() - start)
