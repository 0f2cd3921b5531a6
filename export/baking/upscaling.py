"""The second stage of a cascade, which enlarges the pictures of the first (arXiv 2106.15282).

It gets pixels as the first stage computes them, not rounded to whole levels: a rounding that falls
to the other side in another runtime would show in the large picture. Its noise comes from streams
of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import tensorflow as tf

from .noise import AUGMENTATION_STREAM, gaussian_noise
from .process import Tensors, traced

if TYPE_CHECKING:
    from .signatures import Signatures

SMALL = "low_resolution"
LEVELS = "levels"
_SEEDS = tf.TensorSpec([None], tf.int64, "seeds")


@dataclass(frozen=True)
class Augmentation:
    """Noise of `level` a for a small picture, of pixels with this mean and standard deviation.

    The network was trained on √(1 − a²)·x + a·ε and told a, so that the second stage makes up for
    faults of the first (conditioning augmentation, arXiv 2106.15282, section 3).
    """

    level: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def levels(self, pixels: Any, seeds: tf.Tensor) -> tf.Tensor:
        """Levels float32 [N, h, w, C], 0 to 255 and a little beyond, of pixels in [0, 1]."""
        if self.level:
            mean, std = tf.constant(self.mean), tf.constant(self.std)
            stream = tf.constant(AUGMENTATION_STREAM, tf.int64)
            noise = gaussian_noise(seeds, tuple(pixels.shape[1:].as_list()), stream=stream)
            kept = (1 - self.level**2) ** 0.5
            pixels = (kept * (pixels - mean) / std + self.level * noise) * std + mean
        return 255.0 * pixels


@dataclass(frozen=True)
class Upscaler:
    """From small pictures to large ones of `shape` (H, W, C), always in so many `steps`.

    `shared` are what its network takes of the first stage's labels and conditions; it gets `fixed`
    values, of one picture, for its other conditions, and this `guidance`, if it takes any. `graph`
    and `signatures` are its sampler, as an ONNX graph that begins with small pictures, and as
    TensorFlow functions whose small picture has float32 levels; None without a SavedModel.
    `variables` are those of the functions.
    """

    shape: tuple[int, ...]
    factor: int
    steps: int
    guidance: float
    shared: tuple[tf.TensorSpec, ...]
    fixed: Mapping[str, np.ndarray]
    augmentation: Augmentation
    graph: onnx.ModelProto
    signatures: "Signatures | None" = None
    variables: tuple[Any, ...] = ()

    @property
    def small_shape(self) -> tuple[int, ...]:
        """Height, width and channels of the pictures that it enlarges."""
        height, width, channels = self.shape
        return height // self.factor, width // self.factor, channels

    def __call__(self, pixels: tf.Tensor, seeds: tf.Tensor, given: Tensors) -> tf.Tensor:
        """Large pictures of pixels float32 [N, h, w, C] in [0, 1]; `given` has what is shared."""
        if self.signatures is None:
            raise ValueError("there is no SavedModel of the second stage")
        count = tf.shape(seeds)[:1]
        known = {
            **{name: _rows(value, count) for name, value in self.fixed.items()},
            **{str(spec.name): given[str(spec.name)] for spec in self.shared},
            "seeds": seeds,
            "steps": tf.constant(self.steps, tf.int64),
            "guidance": tf.constant(self.guidance, tf.float32),
            SMALL: self.augmentation.levels(pixels, seeds),
        }
        process = self.signatures.sampler
        return process.run(*(known[str(spec.name)] for spec in process.inputs))[process.output]

    @property
    def function(self) -> Any:
        """low_resolution float32 [N, h, w, C] in [0, 1], seeds, what is shared → images."""
        small = tf.TensorSpec([None, *self.small_shape], tf.float32, SMALL)

        def upscale(pixels: tf.Tensor, seeds: tf.Tensor, *given: tf.Tensor) -> Tensors:
            names = [str(spec.name) for spec in self.shared]
            return {"images": self(pixels, seeds, dict(zip(names, given, strict=True)))}

        return traced(upscale, [small, _SEEDS, *self.shared])


def _rows(value: np.ndarray, count: tf.Tensor) -> tf.Tensor:
    """One picture's value for each of `count` [1] pictures."""
    return tf.broadcast_to(tf.constant(value), tf.concat([count, value.shape], axis=0))
