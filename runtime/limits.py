"""The ranges of the numbers that a caller chooses, and the check of one."""

import operator
from typing import Any

MAX_COUNT = 1_000_000
MAX_BATCH = 4096
MAX_THREADS = 1024
MAX_GUIDANCE = 100.0
MAX_SCALE = 64
# A bundle may allow fewer.
MAX_STEPS = 100_000

# Of an enlarged picture, each of which takes up to 100 bytes of memory.
MAX_UPSCALED_PIXELS = 2**26

# Seeds are int64 in the graphs.
SEED_END = 2**63


def whole(name: str, value: Any, minimum: int, maximum: int) -> int:
    """Return `value` as an int; ValueError unless it is a whole number in minimum … maximum.

    NumPy's integers are accepted; a bool is not, since it is hardly ever meant.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not minimum <= number <= maximum:
        raise ValueError(f"{name}={value!r}: expected a whole number from {minimum} to {maximum}")
    return number
