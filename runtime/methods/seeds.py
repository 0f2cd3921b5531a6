"""Images from seeds and from noise."""

import threading
from collections.abc import Iterator
from functools import partial

import numpy as np

from ..engine.arguments import Seeds, checked_noise, checked_seeds, checked_steps
from ..engine.conditioning import Labels, checked_conditioning
from ..engine.conditions import Conditions
from ..engine.slerp import slerp
from ..engine.stepwise import Progress, stepwise
from ..errors import BundleError
from ..limits import MAX_COUNT, SEED_END, whole
from ..output.images import as_levels
from .base import Base


class FromSeeds(Base):
    """The methods of a Sampler that begin with noise."""

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
        progress(done, total) is called after each, counting the steps of all batches, and of a
        cascade those of the first stage. An exception from it ends the sampling. The images agree
        with those without progress to 1/255.
        """
        if progress is not None:
            self.bundle.require_graphs("noise", "step")
        seeds = checked_seeds(count, seeds, seed)
        steps = checked_steps(self.bundle, steps, guidance, baked=progress is None)
        feeds = self._seeded(seeds, labels, guidance, conditions, steps=steps)
        shape = (len(seeds), *self.bundle.sample_shape)
        images, start = np.empty(shape, self.bundle.sample_dtype), 0
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
        A cascade's second stage runs once, after the last step; until then each pixel of the first
        stage is repeated.
        """
        self.bundle.require_graphs("noise", "step")
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

        Of arrays, frames are float32 [F, count, …].

        A frame is the network's estimate of the finished image, after every `every`-th step counted
        back from the last. The bundle must hold "trajectory", or "noise" and "step". Those of a
        cascade are as in `stepwise`.
        """
        in_one_run = "trajectory" in self.bundle.graphs and self.device != "openvino"
        if not in_one_run:
            self.bundle.require_graphs("noise", "step")
        seeds, steps = (
            checked_seeds(count, seeds, seed),
            checked_steps(self.bundle, steps, guidance),
        )
        every = whole("every", every, 1, self.bundle.max_steps)
        feeds = self._seeded(seeds, labels, guidance, conditions, steps=steps, every=every)
        if in_one_run:
            return np.concatenate([*self._engine.run_all("trajectory", feeds, cancel)], axis=1)
        frames = enumerate(stepwise(self._engine, feeds, cancel))
        as_frame = np.asarray if self.bundle.draws_arrays else as_levels
        return np.stack([as_frame(x) for step, x in frames if (steps - 1 - step) % every == 0])

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
        not draw fresh noise (eta 0), which has no path between two seeds. A cascade's second stage
        draws noise of its own: by the first seed in the first half of the images, and by the second
        in the others.
        """
        self.bundle.require_graphs("noise", "from_noise")
        ends = [whole("seed_a", seed_a, 0, SEED_END - 1), whole("seed_b", seed_b, 0, SEED_END - 1)]
        first = np.full(whole("frames", frames, 2, MAX_COUNT), ends[0])
        steps = checked_steps(self.bundle, steps, guidance, baked=True)
        conditioning = checked_conditioning(self.bundle, labels, guidance, conditions, seeds=first)
        further = self._engine.draws_further_noise()
        if further and (self.bundle.factor == 1 or self.bundle.eta > 0):
            problem = "draws fresh noise in each step, expected a deterministic sampler"
            raise BundleError(f"{self.bundle.path} {problem}; export the model with --eta=0")
        start, end = self._engine.run("noise", {"seeds": np.array(ends, np.int64)})[0]
        noise = slerp(start, end, np.linspace(0.0, 1.0, frames))
        feeds = {"noise": noise, **conditioning.feeds(steps=steps)}
        if further:
            halves = [frames - frames // 2, frames // 2]
            feeds["seeds"] = np.repeat(np.array(ends, np.int64), halves)
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

        A bundle with fresh noise (eta above 0) or a second stage draws that noise for `seeds`, one
        for each image; other bundles ignore them.
        """
        self.bundle.require_graphs("from_noise")
        noise = checked_noise(self.bundle, noise)
        steps = checked_steps(self.bundle, steps, guidance, baked=True)
        conditioning = checked_conditioning(
            self.bundle, labels, guidance, conditions, count=len(noise)
        )
        feeds = {"noise": noise, **conditioning.feeds(steps=steps)}
        if self._engine.draws_further_noise():
            if seeds is None:
                expected = "expected one for each image, since this bundle draws further noise"
                raise ValueError(f"seeds: received none, {expected}")
            feeds["seeds"] = checked_seeds(None, seeds, 0, expected=len(noise))
        return np.concatenate([*self._drawn("from_noise", feeds, cancel=cancel)])
