"""Batches of images to train on, in an order that a run can pick up at any step.

The images of step k depend on the seed and k alone, so a run that stopped goes on as if it had not.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tensorflow as tf

from ..config import TrainConfig
from .augment import changed, changes
from .cache import Images
from .latents import Latents

BATCHES_AHEAD = 6

Batch = tuple[tf.Tensor, tf.Tensor]


def batches(
    images: Images, config: TrainConfig, *, first_step: int, shard: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """Yield the batches of steps `first_step`, `first_step` + 1, …, of images changed at random.

    Each is images uint8 [B, S, S, C], which `augment` says how to change, and labels int64 [B].
    Every epoch has another order, and a batch may span two epochs, so no image is left out. A shard
    (index, count) is rows index·B/count to (index + 1)·B/count of each batch, and reads no others.
    Raises what `Images.take` raises.
    """
    first, end = ((shard[0] + k) * config.batch_size // shard[1] for k in (0, 1))
    choice = _choice(len(images), config, rows=slice(first, end))

    def batch(step: int) -> Batch:
        with tf.device("cpu"):
            index, flip, crop = (part.numpy() for part in choice(tf.constant(step, tf.int64)))
            if isinstance(images, Latents):
                pixels = images.take_mirrored(index, flip)
            else:
                pixels = changed(images.take(index), flip, crop, config)
            return tf.constant(pixels), tf.constant(images.labels[index])

    return _ahead(batch, first_step)


def _choice(count: int, config: TrainConfig, *, rows: slice) -> Callable[[tf.Tensor], Any]:
    """A function from a step int64 [] to the images int64 [n] and the `changes` of some rows."""
    batch_size, shape = config.batch_size, [rows.stop - rows.start]
    seed, last = tf.constant(config.seed, tf.int64), tf.constant(count - 1, tf.int64)

    @tf.function(autograph=False)
    def choice(step: tf.Tensor) -> tuple[tf.Tensor, ...]:
        position = step * batch_size + tf.range(rows.start, rows.stop, dtype=tf.int64)
        epoch = position // count
        # The raw operator: its wrapper takes only one key for all positions.
        key = tf.stack([tf.fill(shape, seed), epoch, epoch], axis=1)
        index = tf.raw_ops.RandomIndexShuffle(
            index=position % count, seed=key, max_index=tf.fill(shape, last), rounds=4
        )
        return index, *(part[rows] for part in changes(config, step))

    return choice


def _ahead(batch: Callable[[int], Batch], first_step: int) -> Iterator[Batch]:
    """Yield batches in order, while threads make the next few.

    These are Python's own threads. Threads of tf.data would wait for the interpreter to decode
    while it ends, and an iterator that still exists then (after a failed run) would never end.
    """
    pool = ThreadPoolExecutor(2, thread_name_prefix="batch")
    steps = itertools.count(first_step)
    try:
        queue = deque(pool.submit(batch, step) for step in itertools.islice(steps, BATCHES_AHEAD))
        for step in steps:
            ready = queue.popleft().result()
            queue.append(pool.submit(batch, step))
            yield ready
    finally:
        pool.shutdown(cancel_futures=True)
