"""Kernel Inception Distance (arXiv 1801.01401): how far one set of pictures is from another.

KID is a function of features, whichever network computed them. Its mean is 0 if both sets come from
one distribution. Unlike FID, this also holds for small sets.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Rows of a kernel matrix that are in memory at once.
_ROWS = 1024


@dataclass(frozen=True)
class KernelDistance:
    """MMD² of two distributions, estimated from a set of each, and the estimate's standard error.

    The error says how much other samples and other reference pictures would change the distance.
    The difference of two distances to the same reference, or of samples from the same noises, is
    more certain than either distance.
    """

    mean: float
    standard_error: float


def kid(samples: ArrayLike, reference: ArrayLike) -> KernelDistance:
    """KID of features [n, d] and [m, d]: the unbiased MMD² of all pairs, in float64.

    Σ_{i≠j} k(x_i, x_j)/(n(n−1)) + Σ_{i≠j} k(y_i, y_j)/(m(m−1)) − 2·Σ_{i,j} k(x_i, y_j)/(nm)
    (arXiv 1801.01401, equation 4), the limit of the paper's mean over random subsets. Its standard
    error is √(4·var(h_x)/n + 4·var(h_y)/m), where h_x(x_i) is the mean of k(x_i, x_j) over j ≠ i
    minus the mean of k(x_i, y_j), and h_y(y_i) likewise: the first-order term of Hoeffding's
    decomposition of U-statistics, an upper bound if both distributions are the same.

    Raises ValueError for features that are not two finite sets of at least 2 rows of one length.
    """
    x, y = checked_features(samples, reference)
    from_x = _mean_to_others(x) - _mean_kernel(x, y)
    from_y = _mean_to_others(y) - _mean_kernel(y, x)
    variance = sum(4 * np.var(part, ddof=1) / len(part) for part in (from_x, from_y))
    return KernelDistance(float(from_x.mean() + from_y.mean()), float(np.sqrt(variance)))


def checked_features(
    samples: ArrayLike, reference: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sets in float64; ValueError unless they are finite, of one length and 2 rows or more."""
    x, y = _checked("samples", samples), _checked("reference", reference)
    if x.shape[1] != y.shape[1]:
        expected = "expected the same number in both sets; use one extractor"
        raise ValueError(f"features of {x.shape[1]} and {y.shape[1]} numbers: {expected}")
    return x, y


def polynomial_kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """k(x, y) = (x·y/d + 1)³ of each pair, [n, m] (arXiv 1801.01401, section 4)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each row of x the kernel's mean over all rows of y."""
    portions = (x[first : first + _ROWS] for first in range(0, len(x), _ROWS))
    return np.concatenate([polynomial_kernel(rows, y).mean(axis=1) for rows in portions])


def _mean_to_others(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each row the kernel's mean over all other rows."""
    to_itself = (np.square(x).sum(axis=1) / x.shape[1] + 1) ** 3
    return (len(x) * _mean_kernel(x, x) - to_itself) / (len(x) - 1)


def _checked(name: str, values: ArrayLike) -> NDArray[np.float64]:
    features = np.asarray(values, np.float64)
    if features.ndim != 2 or len(features) < 2 or not features.shape[1]:
        received = f"features of shape {list(features.shape)}"
        raise ValueError(f"{name}: {received}, expected [n, d] with a row for at least 2 images")
    if not np.isfinite(features).all():
        bad = np.count_nonzero(~np.isfinite(features))
        raise ValueError(f"{name}: {bad} features are not finite; check the extractor's weights")
    return features
