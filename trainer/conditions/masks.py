"""Random masks to learn inpainting from: rectangles and strokes of a brush (Palette, 2111.05826).

Every mask holds the pixels that are closest to some random shape, as many as cover the share of the
picture that was drawn for it.
"""

from typing import Any

import tensorflow as tf

LEAST_SHARE, MOST_SHARE = 0.1, 0.6
_PIECES = 4


def random_masks(count: Any, size: int, seed: tf.Tensor) -> tf.Tensor:
    """`count` masks float32 [N, size, size, 1]: 1 where the picture is to be painted, 0 elsewhere.

    They follow from the `seed` int64 [2]; `count` is a number or int32 []. Half of them are
    strokes, a line of 1 to 4 straight pieces, and the others 1 to 4 rectangles. Each covers 10 to
    60 % of the picture.
    """
    numbers = 3 + 2 * (_PIECES + 1) + 2 * _PIECES
    share, kind, pieces, *places = tf.unstack(
        tf.random.stateless_uniform([count, numbers, 1], seed), numbers, axis=1
    )
    corners, sides = places[: 2 * (_PIECES + 1)], places[2 * (_PIECES + 1) :]
    along = (tf.range(size, dtype=tf.float32) + 0.5) / size
    x, y = tf.tile(along, [size])[None], tf.repeat(along, size)[None]
    distances = []
    for piece in range(_PIECES):
        here, there = corners[2 * piece : 2 * piece + 4], sides[2 * piece : 2 * piece + 2]
        stroke = _from_line(x, y, *here)
        rectangle = _from_rectangle(x, y, *here[:2], *there)
        distance = tf.where(kind < 0.5, stroke, rectangle)
        distances.append(tf.where(pieces * _PIECES < piece, 100.0, distance))
    return tf.reshape(_closest(tf.reduce_min(distances, axis=0), share), (-1, size, size, 1))


def _closest(distance: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """The pixels whose distance [N, P] is least, as float32, so many as make the share [N, 1]."""
    covered = LEAST_SHARE + (MOST_SHARE - LEAST_SHARE) * share
    pixels = tf.cast(covered * tf.cast(tf.shape(distance)[1], tf.float32), tf.int32)
    border = tf.gather(tf.sort(distance, axis=-1), pixels, batch_dims=1)
    return tf.cast(distance < border, tf.float32)


def _from_line(x: tf.Tensor, y: tf.Tensor, *ends: tf.Tensor) -> tf.Tensor:
    """Distances [N, P] of pixels (x, y) [1, P] from the line between two points of [N, 1]."""
    x0, y0, x1, y1 = ends
    width, height = x1 - x0, y1 - y0
    length = tf.maximum(tf.square(width) + tf.square(height), 1e-6)
    place = tf.clip_by_value(((x - x0) * width + (y - y0) * height) / length, 0.0, 1.0)
    return tf.sqrt(tf.square(x - x0 - place * width) + tf.square(y - y0 - place * height))


def _from_rectangle(x: tf.Tensor, y: tf.Tensor, *shape: tf.Tensor) -> tf.Tensor:
    """How often rectangles about a point [N, 1] must be enlarged to hold the pixels [1, P]."""
    x0, y0, width, height = shape
    across, down = tf.abs(x - x0) / (0.1 + width), tf.abs(y - y0) / (0.1 + height)
    return tf.maximum(across, down)
