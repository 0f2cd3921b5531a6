"""Reproducible noise: Threefry-2x32-20 in wrapping 32-bit integers, then Box–Muller.

ONNX's own random operators give different numbers in every runtime. These functions give the same
numbers in all, from a counter-based generator (Threefry: Salmon, Moraes, Dror and Shaw, "Parallel
random numbers: as easy as 1, 2, 3", SC 2011) and the transform of uniform to normal numbers of Box
and Muller ("A note on the generation of random normal deviates", 1958). docs/bundle.md defines
version 1 of the noise.
"""

import math

import tensorflow as tf

from ...runtime.device.placement import NOISE_SCOPE

NOISE_VERSION = 1
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
INITIAL_STREAM = 0


def threefry(
    key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Two words, uint32, for each key and counter, all int32 of shapes that broadcast.

    Twenty rounds (Salmon et al., 2011), with a key injected after every fourth. They compute in
    int32, since no runtime adds uint32; sums and products wrap.
    """
    xor = tf.bitwise.bitwise_xor
    schedule = (key[0], key[1], xor(xor(tf.constant(PARITY), key[0]), key[1]))
    a, b = counter[0] + key[0], counter[1] + key[1]
    for round_index in range(20):
        a = a + b
        b = xor(_rotate(b, ROTATIONS[round_index % 8]), a)
        if round_index % 4 == 3:
            injection = round_index // 4 + 1
            a = a + schedule[injection % 3]
            b = b + (schedule[(injection + 1) % 3] + injection)
    return tf.cast(a, tf.uint32), tf.cast(b, tf.uint32)


def gaussian_noise(
    seeds: tf.Tensor, shape: tuple[int, int, int], *, stream: tf.Tensor
) -> tf.Tensor:
    """Standard normal noise float32 [N, H, W, C] for seeds int64 [N], each at least 0.

    Box and Muller's (√(−2·ln u)·cos 2πw, √(−2·ln u)·sin 2πw) of uniform u in (0, 1], w in [0, 1).
    `stream` is int64 []: 0 is the initial noise, k + 1 the fresh noise of step k. An image's noise
    depends on its own seed and the stream alone.
    """
    count = math.prod(shape)
    with tf.name_scope(NOISE_SCOPE):
        low, high = words(seeds)
        positions = tf.range((count + 1) // 2)[None, :]
        counter = (positions, words(stream)[0])
        a, b = map(_top_24_bits, threefry((low[:, None], high[:, None]), counter))
    radius = tf.sqrt(-2.0 * tf.math.log((a + 1.0) * 2.0**-24))
    angle = b * 2.0**-24 * (2 * math.pi)
    pairs = tf.stack([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)
    numbers = tf.reshape(pairs, (-1, 2 * ((count + 1) // 2)))[:, :count]
    return tf.reshape(numbers, (-1, *shape))


def words(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The low and the high words, int32, of whole numbers int64, each at least 0."""
    return _low_word(numbers), _low_word(numbers // 2**32)


def _low_word(x: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.bitwise.bitwise_and(x, tf.constant(2**32 - 1, tf.int64)), tf.int32)


def _rotate(x: tf.Tensor, bits: int) -> tf.Tensor:
    # A right shift of a signed number would repeat the sign.
    right = tf.bitwise.right_shift(tf.cast(x, tf.uint32), tf.constant(32 - bits, tf.uint32))
    return x * (1 << bits) + tf.cast(right, tf.int32)


def _top_24_bits(word: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.bitwise.right_shift(word, tf.constant(8, tf.uint32)), tf.float32)
