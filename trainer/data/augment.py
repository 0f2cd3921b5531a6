"""Changes to the pictures of a step, which make a small data set larger: mirroring and crops.

For crops, pictures are kept larger than the network's images, so that a crop need not be enlarged.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from ..config import LEAST_CROP, TrainConfig
from ..streams import FLIP, stream_seed


def changes(config: TrainConfig, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether to mirror each picture of a step, bool [B], and its crop, float32 [B, 3] in [0, 1).

    The crop is its size between the least and the whole, its place across, and its place down.
    """
    seed, count = stream_seed(config.seed, FLIP, step), config.batch_size
    # The shape that these random numbers have had from the beginning, so that old runs go on.
    mirrored = tf.random.stateless_uniform([count, 1, 1, 1], seed)[:, 0, 0, 0] < 0.5
    crop_seed: Any = tf.random.fold_in(seed, 1)
    return mirrored & config.flips, tf.random.stateless_uniform([count, 3], crop_seed)


def changed(
    pictures: NDArray[np.uint8], mirrored: NDArray[np.bool_], crops: NDArray[np.float32], size: int
) -> NDArray[np.uint8]:
    """Pictures uint8 [n, R, R, C] mirrored and cut to uint8 [n, size, size, C]."""
    pictures[mirrored] = pictures[mirrored, :, ::-1]
    side = pictures.shape[1]
    if side == size:
        return pictures
    sizes = side * (LEAST_CROP + (1 - LEAST_CROP) * crops[:, :1])
    corners = (side - sizes) * crops[:, 1:]
    return _resized(pictures, np.concatenate([corners, corners + sizes], axis=1), size)


def whole(pictures: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Pictures uint8 [n, R, R, C] as uint8 [n, size, size, C], without a change."""
    side = pictures.shape[1]
    return _resized(pictures, np.tile([0, 0, side, side], (len(pictures), 1)), size)


def _resized(pictures: NDArray[np.uint8], boxes: NDArray, size: int) -> NDArray[np.uint8]:
    """The part in `boxes` [n, 4], (left, top, right, bottom), of each picture."""
    if pictures.shape[1] == size:
        return pictures
    resized = np.empty((len(pictures), size, size, pictures.shape[3]), np.uint8)
    for row, (picture, box) in enumerate(zip(pictures, boxes.tolist(), strict=True)):
        image = Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
        part = image.resize((size, size), Image.Resampling.LANCZOS, box=tuple(box))
        resized[row] = np.asarray(part).reshape(resized.shape[1:])
    return resized
