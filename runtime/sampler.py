"""The Python interface of a bundle: images from seeds, from noise or from other images."""

import os
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from .bundle.bundle import Bundle, open_bundle, shipped_bundle
from .engine.arguments import (
    Seeds,
    checked_images,
    checked_mask,
    checked_noise,
    checked_seeds,
    checked_steps,
    start_of,
)
from .engine.conditioning import Feeds, Labels, checked_conditioning
from .engine.conditions import Conditions, with_made
from .engine.engine import Engine
from .engine.feeds import checked_feeds
from .engine.inpainting import inpainting_conditions, inpainting_graph
from .engine.session import Session, SessionSettings
from .engine.slerp import slerp
from .engine.stepwise import Progress, stepwise, stepwise_batches
from .engine.upscaling import checked_small, upscaled, upscaling_conditions
from .errors import BundleError
from .limits import MAX_BATCH, MAX_COUNT, SEED_END, whole
from .output.images import to_uint8


class Sampler:
    """Samples images from a bundle on the CPU, with OpenVINO or on a CUDA GPU.

    An image depends only on its own seed: not on the batch, the device or the other images.

        with Sampler("flowers.bundle") as sampler:
            images = sampler.sample(16, steps=20, seed=0)  # uint8 [16, 64, 64, 3], seeds 0 … 15

    Images are [N, height, width, channels] of the bundle's dtype: uint8, or float32 in [0, 1].
    `count` (1 to 1,000,000) draws the seeds from `seed` to `seed + count - 1`, at most 2**63 - 1;
    a list of seeds may take its place, or be passed as `seeds=` instead. `steps` is 1 … the
    bundle's max_steps, by default the bundle's own.

    A model with classes shows `labels`: a class by name or number, or -1 for none; one for all
    images or a list with one for each. By default the image of a seed shows class seed mod the
    number of classes, and an image that does not start from a seed shows none. `guidance` is how
    strongly it shows the class: 0 … 100, by default what the bundle says, and 1 where no class is
    shown. Any guidance but 1 costs a second evaluation of the network in each step.

    A network may need `conditions`, such as `{"text": embedding}`: an array for each name that the
    bundle lists, of the shape there, for all images, or with one more dimension for one each. Whole
    numbers and floats are converted to the dtype there; pixels must be uint8. If the network can do
    without them, guidance is how strongly images follow them too, by default what the bundle says.

    Arguments: `bundle`, a folder or the result of open_bundle, by default the flowers bundled with
    diffkiln, which have the graph "sampler" only; `device`, "auto" (CUDA where it works, otherwise
    the CPU, with the reason in the log "diffkiln.runtime"), "cpu", "cuda" or "openvino", which
    samples step by step; `threads`, 1 … 1024, by default the number of physical cores; `max_batch`,
    1 … 4096, the most images computed at once, by default chosen by measuring; `low_power` and
    `tf32` as in SessionSettings. The opened bundle is the attribute `bundle`.

    Methods with `cancel` stop with a CancelledError soon after another thread has set that event:
    within a twentieth of a second and one operator of the graph, or one step of the stepwise mode.

    A graph is loaded at its first use. Several threads may share one sampler. A fork loads graphs
    of its own, and so does a sampler that was pickled or deep-copied, which keeps the bundle's path
    and the settings. Every method raises
    ValueError for an argument out of range, before it computes anything, BundleError if the bundle
    lacks the graph or the graph is damaged, DeviceError if the device cannot run it, and RunError
    if a GPU fails or memory is short.
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
        settings = SessionSettings(device, threads, max_batch, low_power, tf32)
        source = shipped_bundle() if bundle is None else bundle
        self.bundle = source if isinstance(source, Bundle) else open_bundle(source)
        self._engine = Engine(self.bundle, settings)

    def __enter__(self) -> "Sampler":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the graphs and their memory; sampling after that is a RunError.

        A run that another thread has begun ends normally, and its memory is released after it.
        """
        self._engine.close()

    @property
    def device(self) -> str:
        """Where graphs run, "cpu", "cuda" or "openvino"; final once the first has been loaded."""
        return self._engine.device

    def load(self, *graphs: str) -> None:
        """Load graphs by name, like "sampler", now instead of at their first use."""
        for graph in graphs:
            self._engine.session(graph)

    def warm_up(self, batch: int) -> None:
        """Run one step of `batch` images.

        The first run of a size chooses a GPU's algorithms, allocates memory and captures kernels
        for replay, so the next one need not wait for that.
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
        conditions: Conditions | None = None,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Sample the images of the seeds, in one array [count, height, width, channels].

        With `progress` the steps run one by one (the bundle must hold "noise" and "step"), and
        progress(done, total) is called after each, counting the steps of all batches. An exception
        from it ends the sampling. The images agree with those without progress to 1/255.
        """
        seeds = checked_seeds(count, seeds, seed)
        steps = checked_steps(self.bundle, steps, guidance, baked=progress is None)
        feeds = self._seeded(seeds, labels, guidance, conditions, steps=steps)
        shape = (len(seeds), *self.bundle.image_shape)
        images, start = np.empty(shape, self.bundle.image_dtype), 0
        for batch in self._drawn("sampler", feeds, progress, cancel=cancel):
            images[start : start + len(batch)] = batch
            start += len(batch)
        return images

    async def sample_async(
        self,
        count: int | Seeds | None = None,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
    ) -> np.ndarray:
        """Do what `sample` does without blocking asyncio's event loop.

        The run ends if the awaiting task is cancelled, for instance by asyncio.timeout.
        """
        import asyncio  # slow to import, and loaded already where this is awaited

        cancel = threading.Event()
        draw = partial(self.sample, count, seeds=seeds, steps=steps, seed=seed, cancel=cancel)
        try:
            return await asyncio.to_thread(
                draw, labels=labels, guidance=guidance, conditions=conditions
            )
        finally:
            cancel.set()

    def batches(
        self,
        count: int | Seeds | None = None,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield the images of the seeds, in order, some at a time; only one batch is in memory."""
        seeds = checked_seeds(count, seeds, seed)
        steps = checked_steps(self.bundle, steps, guidance, baked=True)
        feeds = self._seeded(seeds, labels, guidance, conditions, steps=steps)
        return self._drawn("sampler", feeds, cancel=cancel)

    def stepwise(
        self,
        count: int | Seeds | None = None,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (step, images) after each step 0 … steps - 1: the denoising in progress.

        `images` holds all of them each time; the last agree with `sample` to 1/255. The bundle must
        hold the graphs "noise" and "step", which do all the mathematics. Stop iterating to cancel.
        """
        seeds, steps = (
            checked_seeds(count, seeds, seed),
            checked_steps(self.bundle, steps, guidance),
        )
        feeds = self._seeded(seeds, labels, guidance, conditions, steps=steps)
        return enumerate(stepwise(self._engine, feeds))

    def trajectory(
        self,
        count: int | Seeds | None = None,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        every: int = 1,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return frames uint8 [F, count, height, width, channels]; the last frame is the pictures.

        A frame is the network's estimate of the finished image, after every `every`-th step counted
        back from the last. The bundle must hold "trajectory", or "noise" and "step".
        """
        seeds, steps = (
            checked_seeds(count, seeds, seed),
            checked_steps(self.bundle, steps, guidance),
        )
        every = whole("every", every, 1, self.bundle.max_steps)
        feeds = self._seeded(seeds, labels, guidance, conditions, steps=steps, every=every)
        if "trajectory" in self.bundle.graphs and self.device != "openvino":
            return np.concatenate([*self._engine.run_all("trajectory", feeds, cancel)], axis=1)
        frames = enumerate(stepwise(self._engine, feeds, cancel))
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
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return images [frames, …] between the picture of one seed and the picture of another.

        Their noise lies at equal angles on the great circle between the noise of the two seeds
        (slerp), so the first and the last image are the two pictures. All show one class, by
        default the class of the first seed. The bundle must hold "noise" and "from_noise", and must
        not draw fresh noise (eta 0), which has no path between two seeds.
        """
        ends = [whole("seed_a", seed_a, 0, SEED_END - 1), whole("seed_b", seed_b, 0, SEED_END - 1)]
        first = np.full(whole("frames", frames, 2, MAX_COUNT), ends[0])
        steps = checked_steps(self.bundle, steps, guidance, baked=True)
        conditioning = checked_conditioning(self.bundle, labels, guidance, conditions, seeds=first)
        if self._engine.draws_fresh_noise():
            problem = "draws fresh noise in each step, expected a deterministic sampler"
            raise BundleError(f"{self.bundle.path} {problem}; export the model with --eta=0")
        start, end = self._engine.run("noise", {"seeds": np.array(ends, np.int64)})[0]
        noise = slerp(start, end, np.linspace(0.0, 1.0, frames))
        feeds = {"noise": noise, **conditioning.feeds(steps=steps)}
        return np.concatenate([*self._drawn("from_noise", feeds, cancel=cancel)])

    def from_noise(
        self,
        noise: np.ndarray,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return the images that grow out of noise float32 [N, height, width, channels].

        A bundle with fresh noise (eta above 0) draws it for `seeds`, one for each image; other
        bundles ignore them.
        """
        noise = checked_noise(self.bundle, noise)
        steps = checked_steps(self.bundle, steps, guidance, baked=True)
        conditioning = checked_conditioning(
            self.bundle, labels, guidance, conditions, count=len(noise)
        )
        feeds = {"noise": noise, **conditioning.feeds(steps=steps)}
        if self._engine.draws_fresh_noise():
            if seeds is None:
                expected = "expected one for each image, since this bundle draws fresh noise"
                raise ValueError(f"seeds: received none, {expected}")
            feeds["seeds"] = checked_seeds(None, seeds, 0, expected=len(noise))
        return np.concatenate([*self._drawn("from_noise", feeds, cancel=cancel)])

    def encode(
        self,
        images: np.ndarray,
        *,
        steps: int | None = None,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return the noise float32 [N, …] from which `from_noise` draws these images again.

        This is DDIM inversion, for bundles with solver ddim and eta 0 that hold "encode". `steps`,
        labels and guidance must be the same both ways. It evaluates the network 7 times as often as
        sampling does.
        """
        images, steps = (
            checked_images(self.bundle, images),
            checked_steps(self.bundle, steps, guidance),
        )
        conditioning = checked_conditioning(
            self.bundle, labels, guidance, conditions, count=len(images)
        )
        feeds = {"images": images, **conditioning.feeds(steps=steps)}
        return np.concatenate([*self._engine.run_all("encode", feeds, cancel)])

    def reconstruct(
        self,
        images: np.ndarray,
        *,
        steps: int | None = None,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return the images as the model draws them: `encode`, then `from_noise`."""
        same: dict[str, Any] = {"labels": labels, "guidance": guidance, "conditions": conditions}
        noise = self.encode(images, steps=steps, cancel=cancel, **same)
        return self.from_noise(noise, steps=steps, cancel=cancel, **same)

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
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return the images with their masked parts repainted; image i uses seed + i or seeds[i].

        `mask` is uint8 or bool [N, height, width, 1], or [height, width] for all images: where it
        is 0 an image stays as it is. The bundle must hold "inpaint", or its network must have been
        trained to inpaint: then it gets its conditions `masked_image` and `paint_mask` from here.
        """
        images, graph = checked_images(self.bundle, images), inpainting_graph(self.bundle)
        steps = checked_steps(self.bundle, steps, guidance, baked=graph == "sampler")
        mask, count = checked_mask(self.bundle, mask, len(images)), len(images)
        seeds = checked_seeds(count if seeds is None else None, seeds, seed, expected=count)
        made = inpainting_conditions(self.bundle, images, mask)
        given = with_made(conditions, made, "images and mask")
        conditioning = checked_conditioning(self.bundle, labels, guidance, given, count=count)
        feeds = {"seeds": seeds, **conditioning.feeds(steps=steps)}
        if graph == "inpaint":
            feeds = {"images": images, "mask": mask, **feeds}
            return np.concatenate([*self._engine.run_all("inpaint", feeds, cancel)])
        return np.where(mask, np.concatenate([*self._drawn(graph, feeds, cancel=cancel)]), images)

    def upscale(
        self,
        images: np.ndarray,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return pictures uint8 [N, a, b, channels] enlarged to [N, a·f, b·f, channels].

        The network must have the condition `low_resolution`, uint8 [height/f, width/f, channels],
        and the bundle "noise" and "step" without fresh noise (eta 0). Pictures larger than that are
        drawn as tiles, which overlap and leave no seams; a smaller one is continued by mirroring it
        and cut afterwards. Picture i uses seed + i or seeds[i]. progress(done, total) is called
        after each step of a batch of tiles. A result has at most 2**26 pixels.
        """
        images, steps = (
            checked_small(self.bundle, images),
            checked_steps(self.bundle, steps, guidance),
        )
        count, made = len(images), upscaling_conditions(self.bundle)
        seeds = checked_seeds(count if seeds is None else None, seeds, seed, expected=count)
        given = with_made(conditions, made, "images")
        conditioning = checked_conditioning(self.bundle, labels, guidance, given, count=count)
        feeds = {"seeds": seeds, **conditioning.feeds(steps=steps)}
        return upscaled(self._engine, images, feeds, progress, cancel)

    def edit(
        self,
        images: np.ndarray,
        strength: float,
        *,
        seeds: Seeds | None = None,
        steps: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        guidance: float | None = None,
        conditions: Conditions | None = None,
        cancel: threading.Event | None = None,
    ) -> np.ndarray:
        """Return the images redrawn from a noised form of them; image i uses seed + i or seeds[i].

        `strength`, above 0 and at most 1, is the part of the steps that are taken: a small one
        changes details, 1 leaves nearly nothing (SDEdit, arXiv 2108.01073). The bundle must hold
        "edit".
        """
        images, steps = (
            checked_images(self.bundle, images),
            checked_steps(self.bundle, steps, guidance),
        )
        numbers, count = {"steps": steps, "start": start_of(strength, steps)}, len(images)
        seeds = checked_seeds(count if seeds is None else None, seeds, seed, expected=count)
        conditioning = checked_conditioning(self.bundle, labels, guidance, conditions, count=count)
        feeds = {"images": images, "seeds": seeds, **conditioning.feeds(**numbers)}
        return np.concatenate([*self._engine.run_all("edit", feeds, cancel)])

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run a graph of the bundle once: its outputs in order, for its inputs by name.

        Inputs are as docs/bundle.md and the manifest say. ValueError for other names, dtypes or
        shapes, for different numbers of rows, and for numbers out of range.
        """
        return self._engine.run(graph, checked_feeds(self.bundle, graph, feeds), Session.run_long)

    def _seeded(
        self,
        seeds: np.ndarray,
        labels: Labels | None,
        guidance: float | None,
        conditions: Conditions | None,
        **numbers: int,
    ) -> Feeds:
        """Return a graph's inputs for the images of these seeds."""
        conditioning = checked_conditioning(self.bundle, labels, guidance, conditions, seeds=seeds)
        return {"seeds": seeds, **conditioning.feeds(**numbers)}

    def _drawn(
        self,
        graph: str,
        feeds: Feeds,
        progress: Progress | None = None,
        *,
        cancel: threading.Event | None,
    ) -> Iterator[np.ndarray]:
        """Yield finished images; OpenVINO, which does not support Loop, goes step by step."""
        if progress is None and self.device != "openvino":
            return self._engine.run_all(graph, feeds, cancel)
        return stepwise_batches(self._engine, feeds, progress, cancel)
