"""The exact mean and standard deviation of pixels, from counts of their 256 levels."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def pixel_statistics(
    portions: Iterable[NDArray[np.uint8]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of images [n, S, S, 3], where level 255 is 1.

    They do not depend on the order and size of the portions. Raises InputError for a flat colour.
    """
    counts = np.zeros((3, 256))
    for images in portions:
        for channel in range(3):
            counts[channel] += np.bincount(images[..., channel].ravel(), minlength=256)
    weights, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = weights @ levels
    std = np.sqrt((weights * (levels - mean[:, None]) ** 2).sum(axis=1))
    if std.min() < 1e-3:
        raise InputError(
            f"the images' channels have standard deviations {std.round(5).tolist()}: expected "
            "pictures that differ from one flat colour"
        )
    return tuple(mean.tolist()), tuple(std.tolist())
