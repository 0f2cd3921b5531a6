"""Reproducible noise: Threefry-2x32-20 in wrapping signed 32-bit integers, then Box–Muller.

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
# With the streams of a second stage.
CASCADE_NOISE_VERSION = 2
ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
INITIAL_STREAM = 0
# Of the second stage of a cascade, and of what is added to the small picture before it.
UPSCALING_STREAM = 2**20
AUGMENTATION_STREAM = 2**21

# The largest float32 that an int32 holds.
_LARGEST = 2.0**31 - 2.0**7


def threefry(
    key: tuple[tf.Tensor, tf.Tensor], counter: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Two words for each key and counter, all int32 of shapes that broadcast.

    Twenty rounds (Salmon et al., 2011), with a key injected after every fourth. Sums and products
    wrap. Words are unsigned in the paper; these have the same bits.
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
    return a, b


def gaussian_noise(seeds: tf.Tensor, shape: tuple[int, ...], *, stream: tf.Tensor) -> tf.Tensor:
    """Standard normal noise float32 [N, *shape] for seeds int64 [N], each at least 0.

    Box and Muller's (√(−2·ln u)·cos 2πw, √(−2·ln u)·sin 2πw) of uniform u in (0, 1], w in [0, 1).
    `stream` is int64 []: 0 is the initial noise, k + 1 the fresh noise of step k. An image's noise
    depends on its own seed and the stream alone.
    """
    count = math.prod(shape)
    with tf.name_scope(NOISE_SCOPE):
        low, high = (word[:, None] for word in seed_words(seeds))
        positions = tf.range((count + 1) // 2)[None, :]
        words = threefry((low, high), (positions, tf.cast(stream, tf.int32)))
        a, b = (tf.cast(right_shift(word, 8), tf.float32) for word in words)
    radius = tf.sqrt(-2.0 * tf.math.log((a + 1.0) * 2.0**-24))
    angle = b * 2.0**-24 * (2 * math.pi)
    pairs = tf.stack([radius * tf.cos(angle), radius * tf.sin(angle)], axis=-1)
    numbers = tf.reshape(pairs, (-1, 2 * ((count + 1) // 2)))
    numbers = numbers[:, :count] if count % 2 else numbers
    return tf.reshape(numbers, (-1, *shape))


def seed_words(seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(seed mod 2³², seed div 2³²) as int32 of the same bits, for seeds int64 of any shape.

    Without a division of int64, which LiteRT lacks, and right for seeds below 2³¹ where a runtime
    computes int64 in 32 bits.
    """
    low = tf.cast(seeds, tf.int32)  # which takes the lower bits
    # A multiple of 2³², too long for a float32, so what the first quotient leaves is divided again.
    rest, high = seeds - tf.cast(low, tf.int64), tf.zeros_like(low)
    for _ in range(2):
        quotient = tf.minimum(tf.cast(rest, tf.float32) * 2.0**-32, _LARGEST)
        part = tf.cast(quotient, tf.int32)
        rest, high = rest - tf.cast(part, tf.int64) * 2**32, high + part
    return low, high - tf.cast(low < 0, tf.int32)


def right_shift(x: tf.Tensor, bits: int) -> tf.Tensor:
    """int32 shifted as if it were unsigned.

    Some runtimes have no uint32, and some divide int32 as float32, which holds 24 bits. So at most
    24 bits are divided at a time, without a remainder, and copies of the sign are cut off.
    """
    and_ = tf.bitwise.bitwise_and
    upper = and_(x, -(1 << max(bits, 8)))
    shifted = and_(upper // (1 << bits), (1 << (32 - bits)) - 1)
    return shifted if bits >= 8 else shifted + (x - upper) // (1 << bits)


def _rotate(x: tf.Tensor, bits: int) -> tf.Tensor:
    return x * (1 << bits) + right_shift(x, 32 - bits)
