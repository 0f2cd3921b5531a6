"""How far pictures are from the nearest training picture: by pixels, and by features."""

from collections.abc import Iterator, Mapping

import numpy as np
from measures import Pictures
from numpy.typing import NDArray

from diffkiln.trainer.quality.features import extractor


def nearest(named: Mapping[str, Pictures], training: Pictures) -> Iterator[str]:
    """The lines of a table of pictures uint8 [N, S, S, 3] by name."""
    features = extractor(None)
    yield "| distance to the nearest training picture | smallest | 5 % | median |"
    yield "| --- | --- | --- | --- |"
    flat = training.reshape(len(training), -1).astype(np.float32)
    reference = features(training)
    for name, pictures in named.items():
        pixels = pictures.reshape(len(pictures), -1).astype(np.float32)
        for kind, near in (
            ("pixels, root mean square of 255", distances(pixels, flat) / pixels.shape[1] ** 0.5),
            ("features", distances(features(pictures), reference)),
        ):
            low, five, middle = np.quantile(near, (0, 0.05, 0.5))
            yield f"| {name}, {kind} | {low:.2f} | {five:.2f} | {middle:.2f} |"


def distances(points: NDArray, others: NDArray) -> NDArray[np.float64]:
    """The Euclidean distance of each point [n, d] to the nearest of others [m, d]."""
    points, others = points.astype(np.float64), others.astype(np.float64)
    squares = (points**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * points @ others.T
    return np.sqrt(np.maximum(squares.min(axis=1), 0))
