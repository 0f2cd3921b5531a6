"""Precision and recall of pictures (arXiv 1904.06991): how many look real, and how many kinds.

A set's manifold is the balls around its features, each of which reaches as far as its k-th nearest
neighbour. A model that forgets kinds of pictures keeps its precision, and loses recall.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .kid import checked_features

NEIGHBOURS = 3


class PrecisionRecall(NamedTuple):
    """The shares of samples within the manifold of the reference, and the other way round."""

    precision: float
    recall: float


def precision_recall(
    samples: ArrayLike, reference: ArrayLike, *, neighbours: int = NEIGHBOURS
) -> PrecisionRecall:
    """Precision and recall (equation 2) of features [n, d] and [m, d], by distances in float64.

    They depend on the sizes of the sets, so only sets of the same sizes compare. Raises ValueError
    for features that are not two finite sets of one length, each of more than `neighbours` rows.
    """
    x, y = checked_features(samples, reference)
    for name, features in (("samples", x), ("reference", y)):
        if len(features) <= neighbours:
            expected = f"expected more than neighbours={neighbours}"
            raise ValueError(f"{name}: features of {len(features)} images, {expected}")
    apart = _squared_distances(x, y)
    radius_x, radius_y = (
        np.partition(_squared_distances(z, z), neighbours, axis=1)[:, neighbours] for z in (x, y)
    )
    return PrecisionRecall(
        float((apart <= radius_y).any(axis=1).mean()),
        float((apart <= radius_x[:, None]).any(axis=0).mean()),
    )


def _squared_distances(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """‖x_i − y_j‖² of each pair, [n, m]; exactly 0 of a row and itself."""
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
    if x is y:
        np.fill_diagonal(squares, 0.0)
    return np.maximum(squares, 0.0)
