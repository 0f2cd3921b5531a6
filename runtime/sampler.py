"""The Python interface of a bundle: a number of images from a seed."""

import os
import threading
from collections.abc import Iterator, Mapping

import numpy as np

from .bundle import Bundle, Graph, open_bundle
from .device import cpu_instead, usable_device
from .errors import DeviceError
from .limits import MAX_BATCH, MAX_COUNT, MAX_THREADS, SEED_END, whole
from .session import create_session, onnxruntime, run_long, run_session


class Sampler:
    """Samples images from a bundle on the CPU or on a CUDA GPU.

    An image depends on its own seed alone: not on the batch, the device or the other images.

        sampler = Sampler("flowers.bundle")
        images = sampler.sample(16, steps=20, seed=0)  # uint8 [16, 64, 64, 3], seeds 0 … 15

    Arguments: `bundle`, the folder that diffkiln-export wrote, or what open_bundle made of it;
    `device`, "auto" (CUDA where it can be had, otherwise the CPU, and why in the log
    "diffkiln.runtime": a warning if there is an NVIDIA GPU), "cpu" or "cuda"; `threads`, 1 … 1024,
    by default as many as there are physical cores; `max_batch`, 1 … 4096, the most images that are
    computed at once.

    A graph is loaded when it is first used. One sampler may be used by several threads.
    Raises BundleError, DeviceError, or ValueError for an argument out of range.
    """

    def __init__(
        self,
        bundle: Bundle | str | os.PathLike[str],
        *,
        device: str = "auto",
        threads: int | None = None,
        max_batch: int = 16,
    ) -> None:
        self._threads = 0 if threads is None else whole("threads", threads, 1, MAX_THREADS)
        self._max_batch = whole("max_batch", max_batch, 1, MAX_BATCH)
        self._bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        self._device = usable_device(device)
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()

    @property
    def bundle(self) -> Bundle:
        """The manifest: image shape and dtype, default and greatest steps, graphs."""
        return self._bundle

    @property
    def device(self) -> str:
        """Where the graphs run, "cpu" or "cuda"; final once the first of them has been loaded."""
        return "cpu" if self._device == "cpu" else "cuda"

    def sample(self, count: int, *, steps: int | None = None, seed: int = 0) -> np.ndarray:
        """Sample the images of the seeds seed … seed + count - 1.

        Returns one array [count, height, width, channels] of the bundle's dtype: uint8, or float32
        in [0, 1]. `count` is 1 … 1,000,000 (take `batches` for more than fit in memory), `steps`
        1 … the bundle's max_steps, by default its default_steps; seed + count is at most 2**63.

        Raises ValueError for an argument out of range, RunError if onnxruntime fails.
        """
        batches = self.batches(count, steps=steps, seed=seed)
        images = np.empty((count, *self._bundle.image_shape), self._bundle.image_dtype)
        filled = 0
        for batch in batches:
            images[filled : filled + len(batch)] = batch
            filled += len(batch)
        return images

    def batches(
        self, count: int, *, steps: int | None = None, seed: int = 0
    ) -> Iterator[np.ndarray]:
        """Yield the same images as `sample`, in order, in arrays of at most `max_batch` images.

        Memory does not grow with `count`. Arguments are checked at the call, not at the first
        batch.
        """
        count, steps, seed = self._checked(count, steps, seed)
        fixed = self._bundle.unrolled_steps
        if fixed not in (None, steps):
            raise ValueError(f"steps={steps}: this bundle is unrolled for {fixed} steps only")
        batch = self._bundle.unrolled_batch or self._max_batch
        return (self._sampled(seeds, steps) for seeds in self._seed_batches(count, seed, batch))

    def trajectory(
        self, count: int, *, steps: int | None = None, seed: int = 0
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (step, images) for each step 0 … steps - 1: the denoising as it goes.

        `images` has the shape and dtype of `sample`; the last agrees with it to 1/255. The bundle
        must hold the graphs "noise" and "step"; all the mathematics is theirs. Stop iterating to
        cancel.
        """
        count, steps, seed = self._checked(count, steps, seed)
        return self._trajectory(list(self._seed_batches(count, seed, self._max_batch)), steps)

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run a graph of the bundle once: its outputs in order, for its inputs by name."""
        return run_session(self._session(graph), feeds)

    def _sampled(self, seeds: np.ndarray, steps: int) -> np.ndarray:
        # A graph of a fixed batch gets the last seed again and again, and its images are dropped.
        missing = (self._bundle.unrolled_batch or len(seeds)) - len(seeds)
        feeds = {"seeds": np.pad(seeds, (0, missing), mode="edge"), "steps": _scalar(steps)}
        return run_long(self._session("sampler"), feeds)[0][: len(seeds)]

    def _trajectory(
        self, seed_batches: list[np.ndarray], steps: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        states = [self._first_state(seeds) for seeds in seed_batches]
        for step in range(steps):
            images = []
            for number, state in enumerate(states):
                numbers = {"step": _scalar(step), "steps": _scalar(steps)}
                *carried, batch_images = self.run("step", {**numbers, **state})
                states[number] = dict(zip(state, carried, strict=True))
                images.append(batch_images)
            yield step, np.concatenate(images)

    def _first_state(self, seeds: np.ndarray) -> dict[str, np.ndarray]:
        """What "step" takes first, in its order: the noise, the seeds, and zeros for all else."""
        noise = self.run("noise", {"seeds": seeds})[0]
        known = {"noisy": noise, "seeds": seeds}
        names = [entry.name for entry in self._session("step").get_inputs()][2:]
        return {name: known.get(name, np.zeros_like(noise)) for name in names}

    def _seed_batches(self, count: int, seed: int, batch: int) -> Iterator[np.ndarray]:
        for start in range(seed, seed + count, batch):
            stop = min(start + batch, seed + count)
            # Not arange(start, stop): stop may be 2**63, one more than int64 holds.
            yield np.arange(stop - start, dtype=np.int64) + np.int64(start)

    def _session(self, graph: str) -> onnxruntime.InferenceSession:
        with self._lock:
            if graph not in self._sessions:
                self._sessions[graph] = self._load(self._bundle.graph(graph))
                # The first one decides; another that cannot follow it to CUDA is an error.
                self._device = self.device
            return self._sessions[graph]

    def _load(self, graph: Graph) -> onnxruntime.InferenceSession:
        try:
            return create_session(graph, device=self.device, threads=self._threads)
        except DeviceError as error:
            self._device = cpu_instead(self._device, str(error))
            return create_session(graph, device=self._device, threads=self._threads)

    def _checked(self, count: int, steps: int | None, seed: int) -> tuple[int, int, int]:
        count = whole("count", count, 1, MAX_COUNT)
        steps = self._bundle.default_steps if steps is None else steps
        steps = whole("steps", steps, 1, self._bundle.max_steps)
        return count, steps, whole("seed", seed, 0, SEED_END - count)


def _scalar(number: int) -> np.ndarray:
    return np.array(number, np.int64)
