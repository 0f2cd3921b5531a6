"""The functions of a bundle as TensorFlow functions: noise, one step, the loop, one evaluation.

Every tensor has the name that hosts see. The same step is what the SavedModel repeats under
`tf.while_loop`, what ONNX's Loop has as its body, and what step.onnx holds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from ..trainer.diffusion import Denoiser, to_uint8
from .noise import INITIAL_STREAM, gaussian_noise

Tensors = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Signatures:
    """The functions of one model for images of `shape` (H, W, C).

    `image_dtype` is `uint8`, or `float32` for pixels in [0, 1].
    """

    denoiser: Denoiser
    shape: tuple[int, int, int]
    image_dtype: str

    @property
    def noise(self) -> Callable[..., Tensors]:
        """seeds int64 [N] → noise float32 [N, H, W, C]."""
        return tf.function(
            lambda seeds: {"noise": self._noise(seeds)}, input_signature=[self._seeds]
        )

    @property
    def step(self) -> Callable[..., Tensors]:
        """step, steps int64 [], noisy [N, H, W, C] → next_noisy, images."""
        step = tf.TensorSpec([], tf.int64, "step")
        return tf.function(self._step, input_signature=[step, self._steps, self._images("noisy")])

    @property
    def denoise(self) -> Callable[..., Tensors]:
        """noisy [N, H, W, C], time float32 [N] → image, noise, in normalised units."""
        time = tf.TensorSpec([None], tf.float32, "time")
        return tf.function(self._denoise, input_signature=[self._images("noisy"), time])

    @property
    def from_noise(self) -> Callable[..., Tensors]:
        """noise [N, H, W, C], steps int64 [] → images."""
        return tf.function(self._from_noise, input_signature=[self._images("noise"), self._steps])

    @property
    def sampler(self) -> Callable[..., Tensors]:
        """seeds int64 [N], steps int64 [] → images."""
        return tf.function(
            lambda seeds, steps: self._from_noise(self._noise(seeds), steps),
            input_signature=[self._seeds, self._steps],
        )

    def _noise(self, seeds: tf.Tensor) -> tf.Tensor:
        stream = tf.constant(INITIAL_STREAM, tf.int64)
        return gaussian_noise(seeds, self.shape, stream=stream)

    def _step(self, step: tf.Tensor, steps: tf.Tensor, noisy: tf.Tensor) -> Tensors:
        next_noisy, image = self.denoiser.step(step, steps, noisy)
        pixels = self.denoiser.pixels(image)
        images = to_uint8(pixels) if self.image_dtype == "uint8" else pixels
        return {"next_noisy": next_noisy, "images": images}

    def _denoise(self, noisy: tf.Tensor, time: tf.Tensor) -> Tensors:
        image, noise = self.denoiser(noisy, time)
        return {"image": image, "noise": noise}

    def _from_noise(self, noise: tf.Tensor, steps: tf.Tensor) -> Tensors:
        def body(step: tf.Tensor, noisy: tf.Tensor, _: tf.Tensor):
            result = self._step(step, steps, noisy)
            return step + 1, result["next_noisy"], result["images"]

        blank = tf.zeros_like(noise, dtype=self.image_dtype)
        first = (tf.constant(0, tf.int64), noise, blank)
        _, _, images = tf.while_loop(
            lambda step, *_: step < steps, body, first, parallel_iterations=1
        )
        return {"images": images}

    @property
    def _seeds(self) -> tf.TensorSpec:
        return tf.TensorSpec([None], tf.int64, "seeds")

    @property
    def _steps(self) -> tf.TensorSpec:
        return tf.TensorSpec([], tf.int64, "steps")

    def _images(self, name: str) -> tf.TensorSpec:
        return tf.TensorSpec([None, *self.shape], tf.float32, name)
