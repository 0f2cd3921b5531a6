"""Keeps LiteRT's native parts from writing to stderr, for which they have no setting."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what the process writes to stderr meanwhile.

    The converter writes a page for an operator that LiteRT lacks, which an error says in a line;
    the interpreter names its delegate.
    """
    if sys.stderr is None:  # closed by whoever started the process
        yield
        return
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
