"""The functions of a bundle as TensorFlow functions, every tensor with the name that hosts see."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from ..trainer.diffusion import to_uint8
from ..trainer.sampling import Sampling
from .inversion import CORRECTIONS, begin_inversion, inversion_step
from .noise import INITIAL_STREAM, gaussian_noise
from .process import EVERY, RESULT, STEPS, Process, Tensors

SEEDS = tf.TensorSpec([None], tf.int64, "seeds")
Network = Callable[..., tf.Tensor]


@dataclass(frozen=True)
class Signatures:
    """The functions of one model for images of `shape` (H, W, C).

    `image_dtype` is `uint8`, or `float32` for pixels in [0, 1].
    """

    sampling: Sampling
    shape: tuple[int, int, int]
    image_dtype: str

    def with_network(self, network: Network) -> "Signatures":
        """The same with another network."""
        denoiser = replace(self.sampling.denoiser, network=network)
        return replace(self, sampling=replace(self.sampling, denoiser=denoiser))

    def processes(self) -> dict[str, Process]:
        """The loops by name; `encode` only where the sampler's steps can be taken back."""
        processes = {
            "sampler": self.sampler,
            "from_noise": self.from_noise,
            "trajectory": self.trajectory,
            "inpaint": self.inpaint,
        }
        if self.sampling.solver == "ddim" and self.sampling.eta == 0:
            processes["encode"] = self.encode
        return processes

    @property
    def noise(self) -> Any:
        """seeds int64 [N] → noise float32 [N, H, W, C]."""
        return tf.function(lambda seeds: {"noise": self._noise(seeds)}, input_signature=[SEEDS])

    @property
    def denoise(self) -> Any:
        """noisy [N, H, W, C], time float32 [N] → image, noise, in normalised units."""
        time = tf.TensorSpec([None], tf.float32, "time")
        return tf.function(
            lambda noisy, time: self._denoise(noisy, time),
            input_signature=[self.floats("noisy"), time],
        )

    @property
    def sampler(self) -> Process:
        """seeds int64 [N], steps int64 [] → images."""
        return self._images_process(
            (SEEDS, STEPS), lambda seeds, _: self._start(self._noise(seeds), seeds)
        )

    @property
    def from_noise(self) -> Process:
        """noise [N, H, W, C], steps int64 [] (and seeds, for fresh noise) → images."""
        inputs = (self.floats("noise"), STEPS, *([SEEDS] if self.sampling.eta else []))
        return self._images_process(inputs, lambda noise, _, seeds=None: self._start(noise, seeds))

    @property
    def trajectory(self) -> Process:
        """seeds int64 [N], steps, every int64 [] → frames uint8 [F, N, H, W, C]."""
        process = replace(self, image_dtype="uint8")._images_process(
            (SEEDS, STEPS, EVERY), lambda seeds, *_: self._start(self._noise(seeds), seeds)
        )
        return replace(process, output="frames")

    @property
    def inpaint(self) -> Process:
        """images, mask uint8 [N, H, W, 1], seeds, steps → inpainted, of the images' dtype.

        Where the mask is 0 the images stay as they are.
        """
        mask = tf.TensorSpec([None, *self.shape[:2], 1], tf.uint8, "mask")

        def begin(images: tf.Tensor, mask: tf.Tensor, seeds: tf.Tensor, _: tf.Tensor) -> Tensors:
            return {**self._start(self._noise(seeds), seeds), "known": images, "mask": mask}

        def step(known: tf.Tensor, mask: tf.Tensor, **given: tf.Tensor) -> Tensors:
            image, painted = self.sampling.denoiser.normalise(self._unit(known)), mask > 0
            made = self._step(hold=lambda found: tf.where(painted, found, image), **given)
            # The pixels themselves, not what normalising and back has made of them.
            return {**made, RESULT: tf.where(painted, made[RESULT], known)}

        inputs = (self.images("images"), mask, SEEDS, STEPS)
        return Process(inputs, begin, step, self.carried, self.images(RESULT), output="inpainted")

    @property
    def encode(self) -> Process:
        """images, steps → noise, from which deterministic DDIM draws these images again."""

        def begin(images: tf.Tensor, steps: tf.Tensor) -> Tensors:
            original = self.sampling.denoiser.normalise(self._unit(images))
            return begin_inversion(self.sampling, original, steps)

        def step(step: tf.Tensor, steps: tf.Tensor, **given: tf.Tensor) -> Tensors:
            made = inversion_step(self.sampling, step, steps, **given)
            return {**made, RESULT: made["next_noisy"]}

        return Process(
            (self.images("images"), STEPS),
            begin,
            step,
            carried=("noisy", "image"),
            result=self.floats(RESULT),
            output="noise",
            extra_steps=CORRECTIONS,
        )

    @property
    def carried(self) -> tuple[str, ...]:
        """What a step hands to the next; the seeds too where it draws fresh noise."""
        return (*self.sampling.carried, *(["seeds"] if self.sampling.eta else []))

    def images(self, name: str) -> tf.TensorSpec:
        """Images as they go in and come out."""
        return tf.TensorSpec([None, *self.shape], self.image_dtype, name)

    def floats(self, name: str) -> tf.TensorSpec:
        """Images, or noise, in normalised units."""
        return tf.TensorSpec([None, *self.shape], tf.float32, name)

    def _images_process(
        self, inputs: tuple[tf.TensorSpec, ...], begin: Callable[..., Tensors]
    ) -> Process:
        return Process(inputs, begin, self._step, self.carried, self.images(RESULT))

    def _noise(self, seeds: tf.Tensor, stream: tf.Tensor | None = None) -> tf.Tensor:
        stream = tf.constant(INITIAL_STREAM, tf.int64) if stream is None else stream
        return gaussian_noise(seeds, self.shape, stream=stream)

    def _start(self, noise: tf.Tensor, seeds: tf.Tensor | None) -> Tensors:
        state = self.sampling.start(noise)
        return state if seeds is None or not self.sampling.eta else {**state, "seeds": seeds}

    def _step(
        self,
        step: tf.Tensor,
        steps: tf.Tensor,
        *,
        seeds: tf.Tensor | None = None,
        hold: Callable[[tf.Tensor], tf.Tensor] | None = None,
        **state: tf.Tensor,
    ) -> Tensors:
        fresh = None if seeds is None else self._noise(seeds, step + 1)
        made, image = self.sampling.step(step, steps, state, fresh_noise=fresh, hold=hold)
        carried = made if seeds is None else {**made, "seeds": seeds}
        images = {f"next_{name}": tensor for name, tensor in carried.items()}
        return {**images, RESULT: self._pixels(image)}

    def _denoise(self, noisy: tf.Tensor, time: tf.Tensor) -> Tensors:
        image, noise = self.sampling.denoiser(noisy, time)
        return {"image": image, "noise": noise}

    def _pixels(self, image: tf.Tensor) -> tf.Tensor:
        pixels = self.sampling.denoiser.pixels(image)
        return to_uint8(pixels) if self.image_dtype == "uint8" else pixels

    def _unit(self, images: tf.Tensor) -> tf.Tensor:
        """Pixels in [0, 1]."""
        return tf.cast(images, tf.float32) / 255.0 if self.image_dtype == "uint8" else images
