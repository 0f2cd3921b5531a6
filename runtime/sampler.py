"""The Python interface of a bundle: images from seeds, from noise or from other images."""

import os
from collections.abc import Iterator, Mapping

import numpy as np

from .bundle.bundle import Bundle, open_bundle, shipped_bundle
from .engine.arguments import (
    Seeds,
    checked_drawn_steps,
    checked_images,
    checked_mask,
    checked_noise,
    checked_seeds,
    checked_steps,
)
from .engine.batching import TOGETHER
from .engine.conditioning import Conditioning, Labels, checked_conditioning
from .engine.engine import Engine
from .engine.session import SessionSettings
from .engine.slerp import slerp
from .engine.stepwise import Given, Progress, pieces, stepwise, stepwise_batches
from .errors import BundleError
from .limits import MAX_BATCH, MAX_COUNT, SEED_END, whole
from .output.images import to_uint8


class Sampler:
    """Samples images from a bundle on the CPU, with OpenVINO or on a CUDA GPU.

    An image depends on its own seed alone: not on the batch, the device or the other images.

        with Sampler("flowers.bundle") as sampler:
            images = sampler.sample(16, steps=20, seed=0)  # uint8 [16, 64, 64, 3], seeds 0 … 15

    Images are [N, height, width, channels] of the bundle's dtype: uint8, or float32 in [0, 1].
    `count` is 1 … 1,000,000 and means the seeds seed … seed + count - 1, at most 2**63 - 1; a list
    of seeds may stand in its place, or `seeds=` be given instead. `steps` is 1 … the bundle's
    max_steps, by default its default_steps.

    A model that knows classes shows `labels`: a class by name or number, or -1 for none, one for
    all images or a list with one for each. Left out, the image of a seed shows class seed mod their
    number, so that several show several, and what does not begin with a seed shows none. `guidance`
    says how much of it: 0 … 100, by default what the bundle says, and 1 where no class is shown;
    all but 1 cost a second evaluation in each step.

    Arguments: `bundle`, the folder that diffkiln-export wrote, or what open_bundle made of it, by
    default the flowers that diffkiln brings along, of which there is the graph "sampler" alone;
    `device`, "auto" (CUDA where it can be had, otherwise the CPU, and why in the log
    "diffkiln.runtime": a warning if there is an NVIDIA GPU), "cpu", "cuda" or "openvino", which
    samples step by step; `threads`, 1 … 1024, by default as many as there are physical cores;
    `max_batch`, 1 … 4096, the most images that are computed at once, by default found by measuring;
    `low_power` and `tf32` as in SessionSettings.

    A graph is loaded when it is first used. One sampler may be used by several threads. Every
    method raises ValueError for an argument out of range, before it computes anything, BundleError
    if the bundle lacks the graph or it is damaged, DeviceError if the device cannot run it, and
    RunError if a GPU fails or memory is short.
    """

    def __init__(
        self,
        bundle: Bundle | str | os.PathLike[str] | None = None,
        *,
        device: str = "auto",
        threads: int | None = None,
        max_batch: int | None = None,
        low_power: bool = False,
        tf32: bool = False,
    ) -> None:
        self._max_batch = None if max_batch is None else whole("max_batch", max_batch, 1, MAX_BATCH)
        chosen = shipped_bundle() if bundle is None else bundle
        self._bundle = chosen if isinstance(chosen, Bundle) else open_bundle(chosen)
        self._engine = Engine(
            self._bundle,
            SessionSettings(device, threads, low_power, tf32),
            max_batch=self._max_batch,
        )

    def __enter__(self) -> "Sampler":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the graphs and their memory; sampling after that is a RunError."""
        self._engine.close()

    @property
    def bundle(self) -> Bundle:
        """The manifest: image shape and dtype, default and greatest steps, graphs."""
        return self._bundle

    @property
    def device(self) -> str:
        """Where the graphs run, "cpu", "cuda" or "openvino".

        It is final once the first of them has been loaded.
        """
        return self._engine.device

    def load(self, *graphs: str) -> None:
        """Load graphs now instead of when they are first used, like "sampler"."""
        for graph in graphs:
            self._engine.inputs(graph)

    def warm_up(self, batch: int) -> None:
        """Run one step of `batch` images, so that the next run of that size does not wait.

        At the first run of a size a GPU's algorithms are chosen, memory is had, and kernels to be
        replayed are captured. Without this, that is part of the first run.
        """
        self._engine.warm_up(whole("batch", batch, 1, MAX_BATCH))

    def sample(
        self,
        count: int | Seeds | None = None,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Sample the images of the seeds, in one array [count, height, width, channels].

        With `progress` the steps are made one by one (the bundle must hold "noise" and "step"), and
        progress(done, total) is called after each, counting the steps of all batches. An exception
        that it raises ends the sampling. The images agree with those made without it to 1/255.
        """
        chosen = checked_seeds(count, seeds, seed)
        conditioning = self._conditioning(labels, guidance, seeds=chosen)
        if progress is None:
            batches = self._drawn(
                "sampler", {"seeds": chosen}, self._drawn_steps(steps), conditioning
            )
        else:
            steps = checked_steps(self._bundle, steps)
            batches = self._stepped({"seeds": chosen}, steps, conditioning, progress)
        images = np.empty((len(chosen), *self._bundle.image_shape), self._bundle.image_dtype)
        filled = 0
        for batch in batches:
            images[filled : filled + len(batch)] = batch
            filled += len(batch)
        return images

    def batches(
        self,
        count: int | Seeds | None = None,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield the images of the seeds, in order, some at a time; memory is that of one batch."""
        chosen, steps = checked_seeds(count, seeds, seed), self._drawn_steps(steps)
        conditioning = self._conditioning(labels, guidance, seeds=chosen)
        return self._drawn("sampler", {"seeds": chosen}, steps, conditioning)

    def stepwise(
        self,
        count: int | Seeds | None = None,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (step, images) after each step 0 … steps - 1: the denoising as it goes.

        `images` are all of them each time; the last agree with those of `sample` to 1/255. The
        bundle must hold the graphs "noise" and "step"; all the mathematics is theirs. Stop
        iterating to cancel.
        """
        chosen, steps = checked_seeds(count, seeds, seed), checked_steps(self._bundle, steps)
        conditioning = self._conditioning(labels, guidance, seeds=chosen)
        batches = pieces({"seeds": chosen, **conditioning.rows}, self._max_batch or TOGETHER)
        ways = [stepwise(self._engine, batch, steps, conditioning.numbers) for batch in batches]
        return (
            (step, np.concatenate([images for _, images in after]))
            for step, after in enumerate(zip(*ways, strict=True))
        )

    def trajectory(
        self,
        count: int | Seeds | None = None,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        every: int = 1,
    ) -> np.ndarray:
        """Return frames uint8 [F, count, height, width, channels], the last being the pictures.

        A frame is what the network takes the finished image to be, after every `every`-th step
        counted back from the last. The bundle must hold "trajectory", or "noise" and "step".
        """
        chosen, steps = checked_seeds(count, seeds, seed), checked_steps(self._bundle, steps)
        every = whole("every", every, 1, self._bundle.max_steps)
        if "trajectory" in self._bundle.graphs and self.device != "openvino":
            conditioning = self._conditioning(labels, guidance, seeds=chosen)
            rows = {"seeds": chosen, **conditioning.rows}
            numbers = {"steps": steps, "every": every, **conditioning.numbers}
            return np.concatenate(list(self._engine.run_all("trajectory", rows, **numbers)), axis=1)
        frames = self.stepwise(seeds=chosen, steps=steps, labels=labels, guidance=guidance)
        return np.stack([to_uint8(x) for step, x in frames if (steps - 1 - step) % every == 0])

    def interpolate(
        self,
        seed_a: int,
        seed_b: int,
        frames: int,
        *,
        steps: int | None = None,
        labels: Labels | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """Return images [frames, …] on the way from the picture of one seed to that of another.

        Their noise lies at equal angles on the great circle between that of the two (slerp), so the
        first and the last are the two pictures. All show one class, by default that of the first
        seed. The bundle must hold "noise" and "from_noise", and draw no fresh noise (eta 0), of
        which there is no way between two.
        """
        ends = [whole("seed_a", seed_a, 0, SEED_END - 1), whole("seed_b", seed_b, 0, SEED_END - 1)]
        frames = whole("frames", frames, 2, MAX_COUNT)
        steps = self._drawn_steps(steps)
        first = np.full(frames, ends[0])
        conditioning = self._conditioning(labels, guidance, seeds=first)
        if self._draws_fresh_noise():
            raise BundleError(
                f"{self._bundle.path} draws fresh noise in each step, expected a deterministic "
                "sampler to interpolate with; export the model with --eta=0"
            )
        start, end = self._engine.run("noise", {"seeds": np.array(ends, np.int64)})[0]
        noise = slerp(start, end, np.linspace(0.0, 1.0, frames))
        return np.concatenate(
            list(self._drawn("from_noise", {"noise": noise}, steps, conditioning))
        )

    def from_noise(
        self,
        noise: np.ndarray,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        labels: Labels | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """Return the images that grow out of noise float32 [N, height, width, channels].

        A bundle with fresh noise (eta above 0) draws it for `seeds`, one for each image; another
        has no use for them.
        """
        noise, steps = checked_noise(self._bundle, noise), self._drawn_steps(steps)
        inputs = {"noise": noise}
        conditioning = self._conditioning(labels, guidance, count=len(noise))
        if self._draws_fresh_noise():
            if seeds is None:
                raise ValueError(
                    "seeds: received none, expected one for each image, since this bundle draws "
                    "fresh noise in each step"
                )
            inputs["seeds"] = checked_seeds(None, seeds, 0, expected=len(noise))
        return np.concatenate(list(self._drawn("from_noise", inputs, steps, conditioning)))

    def encode(
        self,
        images: np.ndarray,
        *,
        steps: int | None = None,
        labels: Labels | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """Return the noise float32 [N, …] from which `from_noise` draws these images again.

        This is DDIM inversion, for bundles of solver ddim with eta 0 that hold "encode". `steps`
        and what they show must be the same both ways. It evaluates the network 7 times more than
        sampling does.
        """
        images, steps = checked_images(self._bundle, images), checked_steps(self._bundle, steps)
        conditioning = self._conditioning(labels, guidance, count=len(images))
        return self._painted("encode", {"images": images}, steps, conditioning)

    def reconstruct(
        self,
        images: np.ndarray,
        *,
        steps: int | None = None,
        labels: Labels | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """Return the images as the model draws them: `from_noise` of what `encode` finds."""
        noise = self.encode(images, steps=steps, labels=labels, guidance=guidance)
        return self.from_noise(noise, steps=steps, labels=labels, guidance=guidance)

    def inpaint(
        self,
        images: np.ndarray,
        mask: np.ndarray,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """Return the images with the masked parts painted anew, by seeds seed … or those given.

        `mask` is uint8 or bool [N, height, width, 1], or [height, width] for all images: where it
        is 0 an image stays as it is. The bundle must hold "inpaint".
        """
        images, steps = checked_images(self._bundle, images), checked_steps(self._bundle, steps)
        mask = checked_mask(self._bundle, mask, len(images))
        count = len(images) if seeds is None else None
        chosen = checked_seeds(count, seeds, seed, expected=len(images))
        inputs = {"images": images, "mask": mask, "seeds": chosen}
        conditioning = self._conditioning(labels, guidance, count=len(images))
        return self._painted("inpaint", inputs, steps, conditioning)

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run a graph of the bundle once: its outputs in order, for its inputs by name."""
        return self._engine.session(graph).run(feeds)

    def _conditioning(
        self,
        labels: Labels | None,
        guidance: float | None,
        *,
        count: int = 0,
        seeds: np.ndarray | None = None,
    ) -> Conditioning:
        count = count if seeds is None else len(seeds)
        return checked_conditioning(self._bundle, labels, guidance, count=count, seeds=seeds)

    def _drawn_steps(self, steps: int | None) -> int:
        return checked_drawn_steps(self._bundle, steps)

    def _drawn(
        self, graph: str, given: Given, steps: int, conditioning: Conditioning
    ) -> Iterator[np.ndarray]:
        if self.device == "openvino":  # which takes no Loop
            return self._stepped(given, steps, conditioning)
        rows = {**given, **conditioning.rows}
        return self._engine.run_all(graph, rows, steps=steps, **conditioning.numbers)

    def _stepped(
        self, given: Given, steps: int, conditioning: Conditioning, progress: Progress | None = None
    ) -> Iterator[np.ndarray]:
        size = self._max_batch or TOGETHER
        rows = {**given, **conditioning.rows}
        return stepwise_batches(
            self._engine, rows, steps, conditioning.numbers, size=size, progress=progress
        )

    def _painted(
        self, graph: str, given: Given, steps: int, conditioning: Conditioning
    ) -> np.ndarray:
        rows = {**given, **conditioning.rows}
        return np.concatenate(
            list(self._engine.run_all(graph, rows, steps=steps, **conditioning.numbers))
        )

    def _draws_fresh_noise(self) -> bool:
        return "seeds" in self._engine.inputs("from_noise")
