"""Kernel Inception Distance (arXiv 1801.01401): how far one set of pictures is from another.

A function of features alone, by whatever network they were made: 0 in the mean where both sets
come from one distribution, also where they are small, which is what it has over FID.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

SUBSETS = 100
LARGEST_SUBSET = 1000


@dataclass(frozen=True)
class KernelDistance:
    """The mean of MMD² over random subsets, and the standard error of that mean.

    The error is that of drawing the subsets; another set of pictures would add its own.
    """

    mean: float
    standard_error: float


def kid(
    samples: ArrayLike,
    reference: ArrayLike,
    *,
    subsets: int = SUBSETS,
    subset_size: int | None = None,
    seed: int = 0,
) -> KernelDistance:
    """KID of features [n, d] and [m, d]: `squared_mmd` over random subsets of both.

    A subset is drawn without replacement. Left out, `subset_size` is half of the smaller set, and
    at most 1000: subsets as large as their set would all be the same one, and know no error.

    Raises ValueError for features that are not two finite sets of at least 2 rows of one length,
    for `subset_size` above the smaller set or below 2, and for fewer than 2 subsets.
    """
    x, y = _checked("samples", samples), _checked("reference", reference)
    smaller = min(len(x), len(y))
    size = max(2, min(LARGEST_SUBSET, smaller // 2)) if subset_size is None else subset_size
    if not 2 <= size <= smaller:
        raise ValueError(
            f"subset_size={size}: expected 2 to {smaller}, which the smaller set has; give fewer, "
            "or more images"
        )
    if subsets < 2:
        raise ValueError(f"subsets={subsets}: expected at least 2, for an error; give more")
    generator = np.random.default_rng(seed)
    values = [
        squared_mmd(_subset(generator, x, size), _subset(generator, y, size))
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(subsets)))


def squared_mmd(x: ArrayLike, y: ArrayLike) -> float:
    """The unbiased estimate of MMD² of features [n, d] and [m, d] (arXiv 1801.01401, equation 4).

    Σ_{i≠j} k(x_i, x_j)/(n(n−1)) + Σ_{i≠j} k(y_i, y_j)/(m(m−1)) − 2·Σ_{i,j} k(x_i, y_j)/(nm), in
    float64. Raises ValueError as `kid` does.
    """
    x, y = _checked("x", x), _checked("y", y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"features of {x.shape[1]} and {y.shape[1]} numbers: expected as many in both sets; "
            "use one extractor"
        )
    return _mean_of_pairs(x) + _mean_of_pairs(y) - 2 * float(polynomial_kernel(x, y).mean())


def polynomial_kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """k(x, y) = (x·y/d + 1)³ of each pair, [n, m] (arXiv 1801.01401, section 4)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_pairs(x: NDArray[np.float64]) -> float:
    """The kernel's mean over pairs of two different rows."""
    kernel, count = polynomial_kernel(x, x), len(x)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def _subset(
    generator: np.random.Generator, x: NDArray[np.float64], size: int
) -> NDArray[np.float64]:
    return x[generator.choice(len(x), size, replace=False)]


def _checked(name: str, values: ArrayLike) -> NDArray[np.float64]:
    features = np.asarray(values, np.float64)
    if features.ndim != 2 or len(features) < 2 or not features.shape[1]:
        raise ValueError(
            f"{name}: features of shape {list(features.shape)}, expected [n, d] of at least 2 "
            "images; give one row for each image"
        )
    if not np.isfinite(features).all():
        raise ValueError(
            f"{name}: {int((~np.isfinite(features)).sum())} features are not finite, expected "
            "numbers; check the extractor's weights"
        )
    return features
