"""Whether float32 can hold the numbers of arrays, which are in units of their own."""

from collections.abc import Sequence

import numpy as np

# Below, float32 has fewer digits than elsewhere; above, it has no room for a few deviations.
LEAST_STD, MOST = 1e-33, 1e37
# By how much of a standard deviation float32 may round. By more, its steps would show.
_MOST_ROUNDED = 0.25
# By how many units floats of two computations may be apart.
FLOAT_TOLERANCE = 1e-3


def rounding(mean: Sequence[float], std: Sequence[float]) -> float:
    """By how many standard deviations float32 rounds numbers of these means, at most."""
    return float(np.max(np.finfo(np.float32).eps * np.abs(mean) / np.asarray(std)))


def comparable(mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """The unit of each entry in which numbers may differ by `FLOAT_TOLERANCE`.

    It is the standard deviation, or more where float32 rounds by more than the tolerance of that.
    """
    rounded = np.finfo(np.float32).eps * np.abs(mean)
    return np.maximum(np.asarray(std), rounded / FLOAT_TOLERANCE)


def problem(mean: Sequence[float], std: Sequence[float]) -> str | None:
    """Why float32 cannot hold such numbers, by the mean and deviation of each entry, or None."""
    for entry, (middle, spread) in enumerate(zip(mean, std, strict=True)):
        received = f"entry {entry} of the last axis has mean {middle:g} and deviation {spread:g}"
        if not (abs(middle) <= MOST and LEAST_STD <= spread <= MOST):
            return (
                f"{received}, expected a deviation from {LEAST_STD:g} to {MOST:g} and a mean of at "
                f"most {MOST:g}; choose other units"
            )
        if rounding([middle], [spread]) > _MOST_ROUNDED:
            return (
                f"{received}, which float32 rounds by {rounding([middle], [spread]):.2g} "
                f"deviations, expected at most {_MOST_ROUNDED:g}; subtract a number near the mean "
                "from the data, and add it to what is drawn"
            )
    return None
