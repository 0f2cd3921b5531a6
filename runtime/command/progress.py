"""A progress bar for long work, where someone can see it."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

# Shorter work needs no bar, and does not wait for the import of one.
PATIENCE_S = 1.0


@contextlib.contextmanager
def progress_of(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Give a Sampler's method its `progress`: how many of how many are done, once that is known."""
    with contextlib.ExitStack() as stack:
        advance = None

        def report(_: int, total: int) -> None:
            nonlocal advance
            if advance is None:
                advance = stack.enter_context(progress(total, unit))
            advance(1)

        yield report


@contextlib.contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Give a function that reports how many more of `total` units are done.

    If stderr is a terminal and the work takes longer than PATIENCE_S, it draws a bar there and
    removes it at the end.
    """
    seen = sys.stderr is not None and sys.stderr.isatty()
    patient_until = time.monotonic() + PATIENCE_S
    done, bar = 0, None

    def advance(count: int) -> None:
        nonlocal done, bar
        done += count
        if bar is not None:
            bar.update(count)
        elif seen and done < total and time.monotonic() > patient_until:
            from tqdm import tqdm

            bar = tqdm(total=total, initial=done, unit=f" {unit}", leave=False, dynamic_ncols=True)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.close()
