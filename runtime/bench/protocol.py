"""How the command and its fresh processes talk: one line of JSON each way.

The command sends a job, and the process answers when it is ready. Then every "go" is one turn,
which the process answers with its measurements. It ends when its input ends, so that none is left
over if the command is killed.
"""

import contextlib
import json
import os
import pkgutil
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

# Threads of earlier work may spin on for some 20 ms, which would slow what runs next.
REST_SECONDS = 0.05

Job = Mapping[str, Any]
Answer = dict[str, Any]
Turn = Callable[[], Answer]


def serve(prepare: Callable[[Job], tuple[Answer, Turn]]) -> None:
    """Answer the lines on stdin: `prepare` returns the answer to the job, and the turn.

    An exception is answered as {"error": its text, "kind": its class} and ends the process.
    """
    # What a library prints must not get between the answers.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(values: Answer) -> None:
        print(json.dumps(values), file=channel, flush=True)

    with contextlib.suppress(BrokenPipeError):  # the command has ended
        try:
            about, turn = prepare(json.loads(sys.stdin.readline()))
            answer(about)
            for _ in sys.stdin:
                answer(turn())
        except Exception as error:  # whatever a runtime raises, the command reports it
            answer({"error": str(error), "kind": type(error).__name__})


def milliseconds(task: Callable[[], object]) -> float:
    """Time a task once, after a rest."""
    time.sleep(REST_SECONDS)
    start = time.perf_counter()
    task()
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    serve(pkgutil.resolve_name(f"{__package__}.{sys.argv[1]}:prepare"))
