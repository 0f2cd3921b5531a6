"""The functions of a bundle as TensorFlow functions, every tensor with the name that hosts see."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from ...trainer.maths.diffusion import to_uint8
from ...trainer.maths.guidance import Conditioning
from ...trainer.maths.sampling import Sampling, Start
from ...trainer.maths.tables import Tables
from ..network.conditions import FittedCondition
from .admission import admitted, outputs_or_nothing, rules
from .inversion import CORRECTIONS, begin_inversion, inversion_step
from .noise import INITIAL_STREAM, gaussian_noise
from .process import EVERY, RESULT, START, STEPS, Process, Tensors, by_name, traced

SEEDS = tf.TensorSpec([None], tf.int64, "seeds")
LABELS = tf.TensorSpec([None], tf.int64, "labels")
GUIDANCE = tf.TensorSpec([], tf.float32, "guidance")
Network = Callable[..., tf.Tensor]


@dataclass(frozen=True)
class Signatures:
    """The functions of one model for images of `shape` (H, W, C).

    All but `noise` take last what the model knows of labels int64 [N], guidance float32 [] and
    `conditions`. `image_dtype` is `uint8`, or `float32` for pixels in [0, 1].
    """

    sampling: Sampling
    shape: tuple[int, int, int]
    image_dtype: str
    conditions: tuple[FittedCondition, ...] = ()

    def with_network(self, network: Network) -> "Signatures":
        """The same with another network."""
        denoiser = replace(self.sampling.denoiser, network=network)
        return replace(self, sampling=replace(self.sampling, denoiser=denoiser))

    def with_tables(self, tables: Tables | None) -> "Signatures":
        """The same with learned tables."""
        return replace(self, sampling=replace(self.sampling, tables=tables))

    def processes(self) -> dict[str, Process]:
        """The loops by name; `encode` only where the sampler's steps can be taken back."""
        names = ["sampler", "from_noise", "trajectory", "inpaint", "edit"]
        sampling = self.sampling
        if sampling.solver == "ddim" and sampling.eta == 0 and sampling.tables is None:
            names.append("encode")
        return {name: getattr(self, name) for name in names}

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
        return ("image", "noise", *(("variance_fraction",) if learned else ()))

    def single_step(self, **inputs: tf.Tensor) -> Tensors:
        """A step of the sampler by itself, which has the loop's inputs at any step."""
        return self._if_admitted(inputs, self.sampler.step(**inputs))

    @property
    def sampler(self) -> Process:
        """seeds int64 [N], steps int64 [] → images."""
        return self._process((SEEDS, STEPS), self._begin)

    @property
    def from_noise(self) -> Process:
        """noise [N, H, W, C], steps int64 [] (and seeds, for fresh noise) → images."""
        inputs = (self.floats("noise"), STEPS, *([SEEDS] if self.sampling.eta else []))
        return self._process(inputs, lambda noise, _, seeds=None: self._start(noise, seeds))

    @property
    def trajectory(self) -> Process:
        """seeds int64 [N], steps, every int64 [] → frames uint8 [F, N, H, W, C]."""
        signatures = replace(self, image_dtype="uint8")
        return signatures._process((SEEDS, STEPS, EVERY), self._begin, output="frames")

    @property
    def inpaint(self) -> Process:
        """images, mask uint8 [N, H, W, 1], seeds, steps → inpainted, of the images' dtype.

        Where the mask is 0 the images stay as they are.
        """
        mask = tf.TensorSpec([None, *self.shape[:2], 1], tf.uint8, "mask")

        def begin(images: tf.Tensor, mask: tf.Tensor, seeds: tf.Tensor, _: tf.Tensor) -> Tensors:
            return {**self._begin(seeds), "photographs": images, "mask": mask}

        def step(photographs: tf.Tensor, mask: tf.Tensor, **state: Any) -> Tensors:
            image, painted = self.sampling.denoiser.normalise(self._unit(photographs)), mask > 0
            outputs = self._step(hold=lambda drawn: tf.where(painted, drawn, image), **state)
            # The pixels themselves, which normalising and back would change.
            return {**outputs, RESULT: tf.where(painted, outputs[RESULT], photographs)}

        inputs = (self.images("images"), mask, SEEDS, STEPS)
        return self._process(inputs, begin, step, output="inpainted")

    @property
    def edit(self) -> Process:
        """images, seeds, steps, start int64 [] → edited, of the images' dtype.

        The steps from `start` on, beginning with the images noised (SDEdit, arXiv 2108.01073).
        """

        def begin(images: tf.Tensor, seeds: tf.Tensor, _: tf.Tensor, start: tf.Tensor) -> Tensors:
            return {**self._begin(seeds), "photographs": images, "start": start}

        def step(
            step: tf.Tensor, start: tf.Tensor, photographs: tf.Tensor, **state: Any
        ) -> Tensors:
            image = self.sampling.denoiser.normalise(self._unit(photographs))
            return self._step(step + start, start=Start(start, image), **state)

        inputs = (self.images("images"), SEEDS, STEPS, START)
        return self._process(inputs, begin, step, output="edited")

    @property
    def encode(self) -> Process:
        """images, steps → noise, from which deterministic DDIM draws these images again."""

        def begin(images: tf.Tensor, steps: tf.Tensor) -> Tensors:
            original = self.sampling.denoiser.normalise(self._unit(images))
            return begin_inversion(self.sampling, original, steps)

        def step(step: tf.Tensor, steps: tf.Tensor, **state: Any) -> Tensors:
            outputs = inversion_step(self.sampling, step, steps, **state)
            return {**outputs, RESULT: outputs["next_noisy"]}

        process = self._process((self.images("images"), STEPS), begin, step, output="noise")
        carried, result = ("noisy", "image"), self.floats(RESULT)
        settings = {"extra_steps": CORRECTIONS, "nothing": math.nan}
        return replace(process, carried=carried, result=result, **settings)

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
        return tf.TensorSpec([None, *self.shape], self.image_dtype, name)

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
        output: str = "images",
    ) -> Process:
        """A process to images that takes the conditioning last, and gives it to each step."""
        take_step = step or self._step

        def begin_with_conditioning(*tensors: tf.Tensor) -> Tensors:
            last = zip(self.conditioning, tensors[len(inputs) :], strict=True)
            return {**begin(*tensors[: len(inputs)]), **{str(spec.name): x for spec, x in last}}

        def conditioned_step(**state: Any) -> Tensors:
            names = [str(spec.name) for spec in self.conditioning]
            given = {name: state.pop(name) for name in names}
            return take_step(conditioning=self._given(given), **state)

        return Process(
            (*inputs, *self.conditioning),
            begin_with_conditioning,
            conditioned_step,
            self.carried,
            self.images(RESULT),
            self._admits,
            output,
        )

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
        return outputs_or_nothing(self._admits(inputs), outputs, images=RESULT)

    def _begin(self, seeds: tf.Tensor, *_: tf.Tensor) -> Tensors:
        return self._start(self._noise(seeds), seeds)

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
        conditioning: Conditioning | None,
        seeds: tf.Tensor | None = None,
        hold: Callable[[tf.Tensor], tf.Tensor] | None = None,
        start: Start | None = None,
        **state: tf.Tensor,
    ) -> Tensors:
        fresh = None if seeds is None else self._noise(seeds, step + 1)
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
        return to_uint8(pixels) if self.image_dtype == "uint8" else pixels

    def _unit(self, images: tf.Tensor) -> tf.Tensor:
        """Pixels in [0, 1]."""
        return tf.cast(images, tf.float32) / 255.0 if self.image_dtype == "uint8" else images
