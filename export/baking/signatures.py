"""The functions of a bundle as TensorFlow functions, every tensor with the name that hosts see."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from ...trainer.maths.sampling import Start
from ..network.codec import Codec
from .inversion import CORRECTIONS, begin_inversion, inversion_step
from .latents import encoded, latent_mask
from .parts import GUIDANCE, LATENTS, SEEDS, Parts
from .process import EVERY, RESULT, START, STEPS, Process, Tensors, by_name, traced


@dataclass(frozen=True)
class Signatures(Parts):
    """The functions of one model.

    All but `noise` take last what the model knows of labels int64 [N], guidance float32 [] and
    `conditions`. What is said of images [N, H, W, C] holds for arrays [N, …] too.
    """

    def processes(self) -> dict[str, Process]:
        """The loops by name; `encode` only where the sampler's steps can be taken back."""
        return {name: getattr(self, name) for name in self._names()}

    def _names(self) -> Iterator[str]:
        yield from ("sampler", "from_noise")
        if self.upscaler is not None:
            return
        if self.codec is None:
            yield "trajectory"
        if self.codec is None or (self.codec.encoder and self.codec.places):
            yield "inpaint"
        if self.codec is None or self.codec.encoder:
            yield "edit"
            sampling = self.sampling
            if sampling.solver == "ddim" and sampling.eta == 0 and sampling.tables is None:
                yield "encode"

    @property
    def network(self) -> Any:
        """noisy [N, H, W, C], condition float32 [N] (labels int64 [N], conditions) → prediction.

        That has C channels, and 2·C with a learned variance. A network that takes the guidance has
        it after the labels, float32 [N].
        """
        call = self.sampling.denoiser.network
        specs = [self.floats("noisy"), tf.TensorSpec([None], tf.float32, "condition")]
        guidance = tf.TensorSpec([None], tf.float32, GUIDANCE.name)
        rows = [guidance if spec is GUIDANCE else spec for spec in self.conditioning]
        rows = rows if self.takes_guidance else [spec for spec in rows if spec is not guidance]
        return traced(lambda *inputs: {"prediction": call(inputs)}, [*specs, *rows])

    @property
    def noise(self) -> Any:
        """seeds int64 [N] → noise float32 [N, H, W, C]."""

        def noise(seeds: tf.Tensor) -> Tensors:
            return self._if_admitted({"seeds": seeds}, {"noise": self._noise(seeds)})

        return traced(noise, [SEEDS])

    @property
    def denoise(self) -> Any:
        """noisy [N, H, W, C], time float32 [N] → `estimates`, in normalised units.

        With tables, network_time float32 [N] comes after time.
        """
        names = ["time"] if self.sampling.tables is None else ["time", "network_time"]
        times = [tf.TensorSpec([None], tf.float32, name) for name in names]
        specs = [self.floats("noisy"), *times, *self.conditioning]
        return traced(lambda *tensors: self.denoised(**by_name(specs, tensors)), specs)

    def denoised(self, **inputs: tf.Tensor) -> Tensors:
        """The outputs of `denoise` by name."""
        conditioning = self._given(inputs)
        call = self.sampling.denoiser.with_variance
        denoised: Any = call(
            inputs["noisy"], inputs["time"], conditioning, inputs.get("network_time")
        )
        return self._if_admitted(inputs, dict(zip(self.estimates, denoised, strict=False)))

    @property
    def estimates(self) -> tuple[str, ...]:
        """The outputs of `denoise`; the third, v of a learned variance, only where there is one."""
        learned = self.sampling.denoiser.learned_variance
        clean = "sample" if self.is_of_arrays else "image"
        return (clean, "noise", *(("variance_fraction",) if learned else ()))

    def single_step(self, **inputs: tf.Tensor) -> Tensors:
        """A step of the sampler by itself, which has the loop's inputs at any step."""
        return self._if_admitted(inputs, self.sampler.step(**inputs))

    @property
    def sampler(self) -> Process:
        """seeds int64 [N], steps int64 [] → images."""
        return self._process((SEEDS, STEPS), self._begin)

    @property
    def from_noise(self) -> Process:
        """noise [N, H, W, C], steps int64 [] (and seeds, for further noise) → images."""
        further = self.sampling.eta or self.upscaler is not None
        inputs = (self.floats("noise"), STEPS, *([SEEDS] if further else []))
        return self._process(inputs, lambda noise, _, seeds=None: self._start(noise, seeds))

    @property
    def trajectory(self) -> Process:
        """seeds int64 [N], steps, every int64 [] → frames [F, N, H, W, C], of images uint8."""
        signatures = self if self.is_of_arrays else replace(self, image_dtype="uint8")
        return signatures._process((SEEDS, STEPS, EVERY), self._begin, output="frames")

    @property
    def inpaint(self) -> Process:
        """images, mask uint8 [N, H, W, 1], seeds, steps → inpainted, of the images' dtype.

        Where the mask is 0 the images stay as they are. A mask has no channels, except of arrays
        with one axis, which has an entry for each number.
        """
        shape = self.sample_shape
        places = (*shape[:-1], 1) if len(shape) > 1 else shape
        mask = tf.TensorSpec([None, *places], tf.uint8, "mask")

        if self.codec is not None:
            return self._inpaint_latents(self.codec, mask)

        def begin(images: tf.Tensor, mask: tf.Tensor, seeds: tf.Tensor, _: tf.Tensor) -> Tensors:
            return {**self._begin(seeds), "photographs": images, "mask": mask}

        def step(photographs: tf.Tensor, mask: tf.Tensor, **state: Any) -> Tensors:
            image, painted = self._normalised(photographs), mask > 0
            outputs = self._step(hold=lambda drawn: tf.where(painted, drawn, image), **state)
            # The pixels themselves, which normalising and back would change.
            return {**outputs, RESULT: tf.where(painted, outputs[RESULT], photographs)}

        inputs = (self.images(self.samples), mask, SEEDS, STEPS)
        return self._process(inputs, begin, step, output="inpainted")

    def _inpaint_latents(self, codec: Codec, mask: tf.TensorSpec) -> Process:
        """`inpaint` that holds the latents outside the mask, and at last the pixels."""

        def begin(images: tf.Tensor, mask: tf.Tensor, seeds: tf.Tensor, _: tf.Tensor) -> Tensors:
            kept = {"photographs": images, "mask": mask, "original": self._normalised(images)}
            return {**self._begin(seeds), **kept}

        def step(original: tf.Tensor, mask: tf.Tensor, **state: Any) -> Tensors:
            del state["photographs"]
            painted = latent_mask(codec, mask)
            return self._step(hold=lambda drawn: tf.where(painted, drawn, original), **state)

        def finish(
            result: tf.Tensor, photographs: tf.Tensor, mask: tf.Tensor, **_: Any
        ) -> tf.Tensor:
            return tf.where(mask > 0, self._decoded(result), photographs)

        inputs = (self.images(self.samples), mask, SEEDS, STEPS)
        return replace(self._process(inputs, begin, step, output="inpainted"), finish=finish)

    @property
    def edit(self) -> Process:
        """images, seeds, steps, start int64 [] → edited, of the images' dtype.

        The steps from `start` on, beginning with the images noised (SDEdit, arXiv 2108.01073).
        """

        def begin(images: tf.Tensor, seeds: tf.Tensor, _: tf.Tensor, start: tf.Tensor) -> Tensors:
            # Encoded once, if at all, and otherwise smaller as they are.
            own = images if self.codec is None else self._normalised(images)
            return {**self._begin(seeds), "photographs": own, "start": start}

        def step(
            step: tf.Tensor, start: tf.Tensor, photographs: tf.Tensor, **state: Any
        ) -> Tensors:
            image = photographs if self.codec is not None else self._normalised(photographs)
            return self._step(step + start, start=Start(start, image), **state)

        inputs = (self.images(self.samples), SEEDS, STEPS, START)
        return self._process(inputs, begin, step, output="edited")

    @property
    def encode(self) -> Process:
        """images, steps → noise, from which deterministic DDIM draws these images again."""

        def begin(images: tf.Tensor, steps: tf.Tensor) -> Tensors:
            return begin_inversion(self.sampling, self._normalised(images), steps)

        def step(step: tf.Tensor, steps: tf.Tensor, **state: Any) -> Tensors:
            outputs = inversion_step(self.sampling, step, steps, **state)
            return {**outputs, RESULT: outputs["next_noisy"]}

        inputs = (self.images(self.samples), STEPS)
        process = self._process(inputs, begin, step, output="noise")
        carried, result = ("noisy", "image"), self.floats(RESULT)
        settings = {"extra_steps": CORRECTIONS, "nothing": math.nan, "finish": None}
        return replace(process, carried=carried, result=result, finished=None, **settings)

    @property
    def decode(self) -> Any:
        """latents [N, …], in their own units → images."""
        specs = [self.floats(LATENTS)]
        return traced(lambda latents: {"images": self._decoded(latents)}, specs)

    @property
    def encode_latents(self) -> Any:
        """images → latents, in their own units."""

        def encode(images: tf.Tensor) -> Tensors:
            return {LATENTS: encoded(self._codec, self._unit(images))}

        return traced(encode, [self.images("images")])
