"""Layers that Keras lacks, each of which converts to a few operators in any runtime."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
from keras import layers


class SpaceToDepth(layers.Layer):
    """Blocks of `block` × `block` pixels become channels: [N, H, W, C] → [N, H/b, W/b, C·b²]."""

    def __init__(self, block: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.block = block

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Images of height and width divisible by the block."""
        return tf.nn.space_to_depth(inputs, self.block)


class DepthToSpace(SpaceToDepth):
    """The inverse of `SpaceToDepth`: [N, H, W, C·b²] → [N, H·b, W·b, C]."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Images of a channel count divisible by the squared block."""
        return tf.nn.depth_to_space(inputs, self.block)


class OnesChannel(layers.Layer):
    """One more channel, of ones: [N, H, W, C] → [N, H, W, C + 1] (EDM2, arXiv 2312.02696).

    Without it, `PixelNorm` would hide how large the values of a pixel are.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Images of any size."""
        return tf.pad(inputs, [[0, 0], [0, 0], [0, 0], [0, 1]], constant_values=1)


class NearestUpsampling(layers.Layer):
    """Every pixel becomes 2 × 2, or other `factors`: [N, H, W, C] → [N, 2H, 2W, C].

    Keras's `UpSampling2D` repeats along one axis after the other, for which ONNX has no operator;
    this one converts to a single Resize.
    """

    def __init__(self, factors: tuple[int, int] = (2, 2), **kwargs) -> None:
        super().__init__(**kwargs)
        self.factors = factors

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Images with a static height and width."""
        return _repeat_pixels(inputs, self.factors)


def _repeat_pixels(images: Any, factors: tuple[int, int]) -> Any:
    """Nearest neighbours; the gradient, a sum over each pixel's copies, in a form for XLA."""
    size = (factors[0] * images.shape[1], factors[1] * images.shape[2])

    @tf.custom_gradient
    def repeated(images: Any) -> Any:
        copies = tf.raw_ops.ResizeNearestNeighbor(images=images, size=size)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return math.prod(factors) * tf.nn.avg_pool2d(upstream, factors, factors, "VALID")

        return copies, gradient

    return repeated(images)


class KnownPart(layers.Layer):
    """A picture [N, H, W, C] without what a mask [N, H, W, 1] hides, and the mask as 0 and 1.

    Whatever is above 0 in the mask hides, so that a program may give the whole picture.
    """

    def call(self, picture: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """[N, H, W, C + 1]."""
        hidden = tf.cast(mask > 0, picture.dtype)
        return tf.concat([picture * (1 - hidden), hidden], axis=-1)


class LinearEstimate(layers.Layer):
    """√(1 − a²)·picture, of pictures [N, H, W, C] and their levels a [N] in [0, 1].

    Of a picture of mean 0 and variance 1, this is the best linear estimate from √(1 − a²) times it
    plus a times noise.
    """

    def call(self, picture: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
        """[N, H, W, C]."""
        rate = tf.sqrt(tf.maximum(1.0 - tf.square(level), 0.0))
        return tf.reshape(rate, (-1, 1, 1, 1)) * picture


class PixelNorm(layers.Layer):
    """x / √(mean of x² over the channels): without parameters, since a scale and a shift follow."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Images [N, H, W, C]."""
        # In float32, since squares in float16 overflow from 256 on.
        power = tf.reduce_mean(tf.square(tf.cast(inputs, tf.float32)), axis=-1, keepdims=True)
        return inputs * tf.cast(tf.math.rsqrt(power + 1e-4), inputs.dtype)


class SelfAttention(layers.Layer):
    """softmax(q·kᵀ/√d)·v among the pixels of an image (arXiv 1706.03762, equation 1).

    [N, H, W, 3·C] → [N, H, W, C]: queries, keys and values in turn, each of `heads` parts.
    """

    def __init__(self, heads: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Images with a static height and width, and a channel count divisible by 3·heads."""
        shape: Any = inputs.shape
        _, height, width, channels = shape
        size = channels // (3 * self.heads)
        parts = tf.reshape(inputs, (-1, height * width, 3 * self.heads, size))
        queries, keys, values = tf.split(tf.transpose(parts, (0, 2, 1, 3)), 3, axis=1)
        logits = tf.matmul(queries * size**-0.5, keys, transpose_b=True)
        # In float32, since the sum has as many terms as the image has pixels.
        weights = tf.cast(tf.nn.softmax(tf.cast(logits, tf.float32)), values.dtype)
        mixed = tf.transpose(tf.matmul(weights, values), (0, 2, 1, 3))
        return tf.reshape(mixed, (-1, height, width, channels // 3))


class Dropout(layers.Layer):
    """A share `rate` of the values becomes 0, and the others are divided by 1 − rate.

    Which ones (arXiv 1207.0580) depends on the seeds alone: the layer has no state. Each image has
    random bits of its own, so a part of a batch has the same as in the whole batch. They are those
    of Philox (Salmon et al. 2011), which counts up from the image's place and the layer's `number`.
    """

    def __init__(self, rate: float, number: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.number = number
        # Of 2^16 equally likely numbers; the rate is below 1.
        self.dropped = min(round(rate * 2**16), 2**16 - 1)

    def call(self, inputs: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Images [N, H, W, C]; seeds int64 [N, 2], a key and the images' consecutive places."""
        kept = self._numbers(inputs, seeds[0, 0], seeds[0, 1]) >= self.dropped
        scaled = inputs * (2**16 / (2**16 - self.dropped))
        return tf.where(kept, scaled, tf.zeros_like(scaled))

    def _numbers(self, inputs: tf.Tensor, key: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
        """Random uint16 of the shape of `inputs`, whose first image has this place."""
        shape: Any = inputs.shape
        values = math.prod(shape[1:])
        # A step of the counter gives four numbers of 32 bits.
        blocks = math.ceil(values / 8)
        words: Any = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=[tf.shape(inputs)[0], 4 * blocks],
            key=tf.bitcast([key], tf.uint64),
            counter=tf.bitcast([place * blocks, self.number], tf.uint64),
            alg=tf.random.Algorithm.PHILOX.value,
            dtype=tf.uint32,
        )
        numbers = tf.reshape(tf.bitcast(words, tf.uint16), (-1, 8 * blocks))
        return tf.reshape(numbers[:, :values], tf.shape(inputs))


class TimeEmbedding(layers.Layer):
    """Times [N] as sinusoids of `size` channels, half sines and half cosines: [N, 1, 1, size].

    The frequencies run geometrically from `least` turns over t in [0, 1] to `most` turns.
    """

    def __init__(self, size: int, *, least: float = 0.5, most: float = 64.0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.size, self.turns = size, (least, most)

    def call(self, time: tf.Tensor) -> tf.Tensor:
        """Times, float [N]."""
        frequencies = 2 * np.pi * np.geomspace(*self.turns, self.size // 2)
        angles = tf.reshape(time, (-1, 1, 1, 1)) * tf.constant(frequencies, tf.float32)
        return tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)


class LabelEmbedding(layers.Layer):
    """Labels [N] as `size` channels that are learned, [N, 1, 1, size]; −1, no label, has its own.

    All are 0 at first, so that a new network ignores labels.
    """

    def __init__(self, num_classes: int, size: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.num_classes, self.size = num_classes, size

    def build(self, input_shape: tuple) -> None:
        """Create the table; its last row is for label −1."""
        del input_shape
        self.table = self.add_weight(
            shape=(self.num_classes + 1, self.size), initializer="zeros", name="table"
        )

    def call(self, labels: tf.Tensor) -> tf.Tensor:
        """Labels, int64 [N], from −1 to num_classes − 1."""
        rows = tf.where(labels < 0, tf.constant(self.num_classes, labels.dtype), labels)
        return tf.gather(tf.convert_to_tensor(self.table), rows)[:, None, None, :]


class Extrapolation(layers.Layer):
    """Guidance inside a network: nothing + (1 + (guidance − 1)·strength)·(shown − nothing)."""

    def call(
        self, shown: tf.Tensor, nothing: tf.Tensor, strength: tf.Tensor, guidance: tf.Tensor
    ) -> tf.Tensor:
        """Embeddings with and without a label, and strengths, all [N, 1, 1, C]; guidance [N]."""
        more = tf.cast(guidance - 1, shown.dtype)[:, None, None, None]
        return nothing + (1 + more * strength) * (shown - nothing)
