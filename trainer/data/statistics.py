"""The mean and the deviation of pixels, with which a run normalises its images."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def pixel_statistics(
    portions: Iterable[NDArray[np.uint8]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of images [n, S, S, C], where level 255 is 1.

    Exact, whatever the order and size of the portions, except that a channel that is the same
    everywhere gets a deviation of one level. Raises InputError if all channels are.
    """
    counts: Any = 0
    for images in portions:
        channels = images.reshape(-1, images.shape[-1]).T
        counts = counts + np.stack([np.bincount(each, minlength=256) for each in channels])
    weights, levels = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = weights @ levels
    std = np.sqrt((weights * (levels - mean[:, None]) ** 2).sum(axis=1))
    if std.max() < 1e-3:
        received = f"the images' channels have standard deviations {std.round(5).tolist()}"
        raise InputError(f"{received}: expected pictures that differ from one flat colour")
    return tuple(mean.tolist()), tuple(np.where(std < 1e-3, 1 / 255, std).tolist())
