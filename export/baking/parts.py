"""What the functions of a bundle are made of: their tensors, and one step of the sampler."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import tensorflow as tf

from ...trainer.maths.diffusion import to_uint8
from ...trainer.maths.guidance import Conditioning
from ...trainer.maths.sampling import Sampling, Start
from ...trainer.maths.tables import Tables
from ..network.codec import Codec
from ..network.conditions import FittedCondition
from .admission import admitted, outputs_or_nothing, rules
from .latents import decoded, encoded
from .noise import INITIAL_STREAM, gaussian_noise
from .process import RESULT, Process, Tensors, by_name
from .upscaling import SMALL, Upscaler

SEEDS = tf.TensorSpec([None], tf.int64, "seeds")
LABELS = tf.TensorSpec([None], tf.int64, "labels")
GUIDANCE = tf.TensorSpec([], tf.float32, "guidance")
LATENTS = "latents"
# What the second stage of a cascade takes of the seeds, whatever the first stage carries.
FURTHER_SEEDS = "further_seeds"
Network = Callable[..., tf.Tensor]


@dataclass(frozen=True)
class Parts:
    """The parts of one model for images of `shape` (H, W, C), or for arrays of any shape.

    All but `noise` take last what the model knows of labels int64 [N], guidance float32 [] and
    `conditions`. `image_dtype` is `uint8`, or `float32` for pixels in [0, 1] and for arrays. What
    is said of images [N, H, W, C] holds for arrays [N, …] too, whose tensor is called `samples`.
    With a `codec`, `shape` is that of latents, which the decoder makes images of after the last
    step, and only an encoder lets functions begin with images. With an `upscaler`, `shape` is that
    of the small pictures which it enlarges. Noise comes from the streams from `first_stream` on.
    """

    sampling: Sampling
    shape: tuple[int, ...]
    image_dtype: str
    conditions: tuple[FittedCondition, ...] = ()
    codec: Codec | None = None
    upscaler: Upscaler | None = None
    first_stream: int = INITIAL_STREAM

    def with_codec(self, codec: Codec) -> Self:
        """The same with another decoder and encoder."""
        return replace(self, codec=codec)

    def with_network(self, network: Network) -> Self:
        """The same with another network."""
        denoiser = replace(self.sampling.denoiser, network=network)
        return replace(self, sampling=replace(self.sampling, denoiser=denoiser))

    def with_tables(self, tables: Tables | None) -> Self:
        """The same with learned tables."""
        return replace(self, sampling=replace(self.sampling, tables=tables))

    @property
    def image_numbers(self) -> int:
        """How many numbers an image has that a decoder draws; 0 without one."""
        return 0 if self.codec is None else math.prod(self.codec.image_shape)

    @property
    def is_of_arrays(self) -> bool:
        """Whether samples are arrays rather than pictures."""
        return self.sampling.denoiser.arrays

    @property
    def samples(self) -> str:
        """What the graphs call the samples that go in and come out."""
        return "samples" if self.is_of_arrays and self.codec is None else "images"

    @property
    def step_result(self) -> str:
        """What a single step makes beside the tensors for the next."""
        if self.upscaler is not None:
            return SMALL
        return self.samples if self.codec is None else LATENTS

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of a sample: of what a decoder or a second stage makes, if there is one."""
        if self.upscaler is not None:
            return self.upscaler.shape
        return self.shape if self.codec is None else self.codec.image_shape

    @property
    def goes_on(self) -> bool:
        """Whether a decoder or a second stage follows the last step."""
        return self.codec is not None or self.upscaler is not None

    @property
    def carried(self) -> tuple[str, ...]:
        """Names of what a step hands to the next; the seeds too where it draws fresh noise."""
        return (*self.sampling.carried, *(["seeds"] if self.sampling.eta else []))

    @property
    def conditioning(self) -> tuple[tf.TensorSpec, ...]:
        """The last inputs of all that calls the network: labels, guidance, conditions."""
        labels = () if self.sampling.denoiser.num_classes is None else (LABELS,)
        guidance = (GUIDANCE,) if self.is_guided else ()
        return (*labels, *guidance, *(condition.spec for condition in self.conditions))

    @property
    def is_guided(self) -> bool:
        """Whether there is something for guidance to leave out."""
        classes = self.sampling.denoiser.num_classes is not None
        return classes or any(each.null is not None for each in self.conditions)

    @property
    def takes_guidance(self) -> bool:
        """Whether the network takes the guidance itself, so that a step is one evaluation."""
        return self.sampling.denoiser.guidance_range is not None

    def _given(self, inputs: Tensors) -> Conditioning | None:
        """What images show, by the names of the inputs."""
        if not self.conditioning:
            return None
        conditions = [inputs[each.name] for each in self.conditions]
        nulls = [each.null for each in self.conditions]
        return Conditioning(inputs.get("labels"), inputs.get("guidance"), conditions, nulls)

    def images(self, name: str) -> tf.TensorSpec:
        """Images as they go in and come out."""
        return tf.TensorSpec([None, *self.sample_shape], self.image_dtype, name)

    def floats(self, name: str) -> tf.TensorSpec:
        """Images, or noise, in normalised units."""
        return tf.TensorSpec([None, *self.shape], tf.float32, name)

    def prediction(self, name: str) -> tf.TensorSpec:
        """What the network puts out."""
        *sizes, channels = self.shape
        depth = 2 * channels if self.sampling.denoiser.learned_variance else channels
        return tf.TensorSpec([None, *sizes, depth], tf.float32, name)

    def _process(
        self,
        inputs: tuple[tf.TensorSpec, ...],
        begin: Callable[..., Tensors],
        step: Callable[..., Tensors] | None = None,
        output: str | None = None,
    ) -> Process:
        """A process to images that takes the conditioning last, and gives it to each step."""
        take_step = step or self._step

        def begin_with_conditioning(*tensors: tf.Tensor) -> Tensors:
            own, last = tensors[: len(inputs)], tensors[len(inputs) :]
            further = (
                {} if self.upscaler is None else {FURTHER_SEEDS: by_name(inputs, own)["seeds"]}
            )
            return {**begin(*own), **further, **by_name(self.conditioning, last)}

        def conditioned_step(**state: Any) -> Tensors:
            names = [str(spec.name) for spec in self.conditioning]
            given = {name: state.pop(name) for name in names}
            return take_step(conditioning=self._given(given), **state)

        return Process(
            (*inputs, *self.conditioning),
            begin_with_conditioning,
            conditioned_step,
            self.carried,
            self.floats(RESULT) if self.goes_on else self.images(RESULT),
            self._admits,
            output or self.samples,
            nothing=self._nothing,
            finish=self._finished if self.goes_on else None,
            finished=self.images(RESULT) if self.goes_on else None,
            after=() if self.upscaler is None else (FURTHER_SEEDS,),
        )

    def _finished(self, result: tf.Tensor, **kept: tf.Tensor) -> tf.Tensor:
        """Images of what the last step makes; `kept` are the inputs that steps do not change."""
        if self.upscaler is not None:
            return self.upscaler(result, kept[FURTHER_SEEDS], kept)
        return self._decoded(result)

    @property
    def _nothing(self) -> float:
        """What takes the place of samples that cannot be made: black, or no numbers."""
        return math.nan if self.is_of_arrays else 0.0

    def _admits(self, inputs: Tensors) -> tf.Tensor:
        denoiser = self.sampling.denoiser
        ranges = {each.name: each.range for each in self.conditions if each.range}
        return admitted(
            rules(
                inputs,
                most_steps=denoiser.schedule.max_steps,
                classes=denoiser.num_classes,
                guidance=denoiser.guidance_range,
                conditions=ranges,
            )
        )

    def _if_admitted(self, inputs: Tensors, outputs: Tensors) -> Tensors:
        """The outputs if the inputs are in order; otherwise black images, and no numbers."""
        images = None if self.is_of_arrays else RESULT
        return outputs_or_nothing(self._admits(inputs), outputs, images=images)

    def _begin(self, seeds: tf.Tensor, *_: tf.Tensor) -> Tensors:
        return self._start(self._noise(seeds), seeds)

    def _noise(self, seeds: tf.Tensor, stream: tf.Tensor | None = None) -> tf.Tensor:
        stream = tf.constant(self.first_stream, tf.int64) if stream is None else stream
        return gaussian_noise(seeds, self.shape, stream=stream)

    def _start(self, noise: tf.Tensor, seeds: tf.Tensor | None) -> Tensors:
        state = self.sampling.start(noise)
        return state if seeds is None or not self.sampling.eta else {**state, "seeds": seeds}

    def _step(
        self,
        step: tf.Tensor,
        steps: tf.Tensor,
        *,
        conditioning: Conditioning | None,
        seeds: tf.Tensor | None = None,
        hold: Callable[[tf.Tensor], tf.Tensor] | None = None,
        start: Start | None = None,
        **state: tf.Tensor,
    ) -> Tensors:
        fresh = None if seeds is None else self._noise(seeds, step + (self.first_stream + 1))
        carried, image = self.sampling.step(
            *(step, steps, state),
            conditioning=conditioning,
            fresh_noise=fresh,
            hold=hold,
            start=start,
        )
        if seeds is not None:
            carried = {**carried, "seeds": seeds}
        following = {f"next_{name}": tensor for name, tensor in carried.items()}
        return {**following, RESULT: self._pixels(image)}

    def _pixels(self, image: tf.Tensor) -> tf.Tensor:
        pixels = self.sampling.denoiser.pixels(image)
        return pixels if self.goes_on else self._typed(pixels)

    def _typed(self, pixels: tf.Tensor) -> tf.Tensor:
        return to_uint8(pixels) if self.image_dtype == "uint8" else pixels

    @property
    def _codec(self) -> Codec:
        return cast("Codec", self.codec)

    def _decoded(self, latents: tf.Tensor) -> tf.Tensor:
        """Images of latents in their own units."""
        return self._typed(decoded(self._codec, latents))

    def _normalised(self, images: tf.Tensor) -> tf.Tensor:
        """Images, or their latents, in normalised units."""
        units = self._unit(images)
        units = units if self.codec is None else encoded(self.codec, units)
        return self.sampling.denoiser.normalise(units)

    def _unit(self, images: tf.Tensor) -> tf.Tensor:
        """Pixels in [0, 1]."""
        return tf.cast(images, tf.float32) / 255.0 if self.image_dtype == "uint8" else images
