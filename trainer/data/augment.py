"""Changes to the pictures of a step, which make a small data set larger: mirroring and crops.

For crops, pictures are kept larger than the network's images, so that a crop need not be enlarged.
With a `picture_size`, crops are windows of such a picture, whose pixels stay as they are.
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
    pictures: NDArray[Any],
    mirrored: NDArray[np.bool_],
    crops: NDArray[np.float32],
    config: TrainConfig,
) -> NDArray[Any]:
    """Pictures uint8 [n, R, R, C] mirrored and cut to uint8 [n, S, S, C], the images' size.

    Arrays stay as they are.
    """
    if config.array_shape is not None:
        return pictures
    pictures[mirrored] = pictures[mirrored, :, ::-1]
    side, size = pictures.shape[1], config.image_size
    if side == size:
        return pictures
    if config.picture_size:
        return _windows(pictures, crops[:, 1:].astype(np.float64) * (side - size + 1), size)
    sizes = side * (LEAST_CROP + (1 - LEAST_CROP) * crops[:, :1])
    corners = (side - sizes) * crops[:, 1:]
    return _resized(pictures, np.concatenate([corners, corners + sizes], axis=1), size)


def unchanged(pictures: NDArray[Any], config: TrainConfig) -> NDArray[Any]:
    """Pictures uint8 [n, R, R, C] as uint8 [n, S, S, C]: whole, or the window in their centre.

    Arrays stay as they are.
    """
    if config.array_shape is not None:
        return pictures
    side, size = pictures.shape[1], config.image_size
    if config.picture_size:
        return _windows(pictures, np.full((len(pictures), 2), (side - size) // 2), size)
    return _resized(pictures, np.tile([0, 0, side, side], (len(pictures), 1)), size)


def _windows(pictures: NDArray[np.uint8], corners: NDArray, size: int) -> NDArray[np.uint8]:
    """The window of each picture at its corner of [n, 2], (left, top), rounded down."""
    windows = np.empty((len(pictures), size, size, pictures.shape[3]), np.uint8)
    for row, (left, top) in enumerate(corners.astype(np.int64).tolist()):
        windows[row] = pictures[row, top : top + size, left : left + size]
    return windows


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
