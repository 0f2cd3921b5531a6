"""Reproducible noise: Threefry-2x32-20 in int64 arithmetic, then Box–Muller.

ONNX's own random operators give other numbers in every runtime. This gives the same ones in all,
from a counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
The definition, version 1, stands in docs/design.md.
"""

import math

import tensorflow as tf

NOISE_VERSION = 1
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
INITIAL_STREAM = 0

_WORD = 1 << 32


def threefry(
    key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Two words in [0, 2³²) for each key and counter, all int64 of shapes that broadcast."""
    schedule = (key[0], key[1], _xor(_xor(tf.constant(PARITY, tf.int64), key[0]), key[1]))
    a, b = _add(counter[0], key[0]), _add(counter[1], key[1])
    for round_index in range(20):
        a = _add(a, b)
        b = _xor(_rotate(b, ROTATIONS[round_index % 8]), a)
        if round_index % 4 == 3:
            injection = round_index // 4 + 1
            a = _add(a, schedule[injection % 3])
            b = _add(b, schedule[(injection + 1) % 3] + injection)
    return a, b


def gaussian_noise(
    seeds: tf.Tensor, shape: tuple[int, int, int], *, stream: tf.Tensor
) -> tf.Tensor:
    """Standard normal noise float32 [N, H, W, C] for seeds int64 [N], each at least 0.

    `stream` is int64 []: 0 is the initial noise, k + 1 the fresh noise of step k. An image's noise
    depends on its own seed and the stream alone.
    """
    count = math.prod(shape)
    key = (_low_word(seeds)[:, None], _low_word(seeds // _WORD)[:, None])
    positions = tf.range((count + 1) // 2, dtype=tf.int64)[None, :]
    a, b = threefry(key, (positions, stream))
    radius = tf.sqrt(-2.0 * tf.math.log(tf.cast(a // 256 + 1, tf.float32) * 2.0**-24))
    angle = tf.cast(b // 256, tf.float32) * 2.0**-24 * (2 * math.pi)
    pairs = tf.stack([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)
    numbers = tf.reshape(pairs, (-1, 2 * ((count + 1) // 2)))[:, :count]
    return tf.reshape(numbers, (-1, *shape))


def _low_word(x: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_and(x, tf.constant(_WORD - 1, tf.int64))


def _add(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return _low_word(x + y)


def _xor(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(x, y)


def _rotate(x: tf.Tensor, bits: int) -> tf.Tensor:
    return _low_word(x * (1 << bits)) + x // (1 << (32 - bits))
