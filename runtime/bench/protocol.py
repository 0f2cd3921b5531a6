"""How the command and its fresh processes talk: one line of JSON each way.

The command sends a job, and the process answers when it is ready. Then every "go" is one turn,
which the process answers with its measurements. It ends as soon as its input ends, whatever it is
doing, so that none goes on if the command is killed.
"""

import contextlib
import json
import os
import pkgutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from queue import SimpleQueue
from typing import Any

# Threads of earlier work may spin on for some 20 ms, which would slow what runs next.
REST_SECONDS = 0.05

Job = Mapping[str, Any]
Answer = dict[str, Any]
Turn = Callable[[], Answer]


def serve(prepare: Callable[[Job], tuple[Answer, Turn]]) -> None:
    """Answer the lines on stdin: `prepare` returns the answer to the job, and the turn.

    An exception is answered as {"error": its text, "kind": its class}, and nothing after that.
    """
    lines = _lines()
    # What a library prints must not get between the answers.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(values: Answer) -> None:
        print(json.dumps(values), file=channel, flush=True)

    with contextlib.suppress(BrokenPipeError):  # the command has ended
        try:
            about, turn = prepare(json.loads(next(lines)))
            answer(about)
            for _ in lines:
                answer(turn())
        except Exception as error:  # whatever a runtime raises, the command reports it
            answer({"error": str(error), "kind": type(error).__name__})
    for _ in lines:
        pass


def _lines() -> Iterator[str]:
    """Yield the lines on stdin; their end ends the process, even in the middle of native code."""
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield lines.get()


def milliseconds(task: Callable[[], object]) -> float:
    """Time a task once, after a rest."""
    time.sleep(REST_SECONDS)
    start = time.perf_counter()
    task()
    return 1e3 * (time.perf_counter() - start)


if __name__ == "__main__":
    serve(pkgutil.resolve_name(f"{__package__}.{sys.argv[1]}:prepare"))
