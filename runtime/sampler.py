"""The Python interface of a bundle: a number of images from a seed."""

import os
import threading
from collections.abc import Iterator, Mapping

import numpy as np

from .bundle import Bundle, BundleError, open_bundle
from .device import CPU_PROVIDER, confirm_providers, providers_for, without_cuda
from .limits import MAX_BATCH, MAX_COUNT, MAX_THREADS, SEED_END, whole
from .session import create_session, onnxruntime, run_long, run_session


class Sampler:
    """Samples images from a bundle on the CPU or on a CUDA GPU.

    An image depends on its own seed alone: not on the batch, the device or the other images.

        sampler = Sampler("flowers.bundle")
        images = sampler.sample(16, steps=20, seed=0)  # uint8 [16, 64, 64, 3], seeds 0 … 15

    Arguments: `bundle`, the folder that diffkiln-export wrote; `device`, "auto" (CUDA where it can
    be had, otherwise the CPU and a warning in the log "diffkiln.runtime"), "cpu" or "cuda";
    `threads`, 1 … 1024, by default as many as there are physical cores; `max_batch`, 1 … 4096, the
    most images that are computed at once.

    A graph is loaded when it is first used. One sampler may be used by several threads.
    Raises BundleError, DeviceError, or ValueError for an argument out of range.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        device: str = "auto",
        threads: int | None = None,
        max_batch: int = 16,
    ) -> None:
        self._threads = 0 if threads is None else whole("threads", threads, 1, MAX_THREADS)
        self._max_batch = whole("max_batch", max_batch, 1, MAX_BATCH)
        self._bundle = open_bundle(bundle)
        self._wanted_device = device
        self._providers = providers_for(device)
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()

    @property
    def bundle(self) -> Bundle:
        """The manifest: image shape and dtype, default and greatest steps, graphs."""
        return self._bundle

    @property
    def device(self) -> str:
        """Where the graphs run, "cpu" or "cuda"; final once the first of them has been loaded."""
        return "cpu" if self._providers == [CPU_PROVIDER] else "cuda"

    def sample(self, count: int, *, steps: int | None = None, seed: int = 0) -> np.ndarray:
        """Sample the images of the seeds seed … seed + count - 1.

        Returns one array [count, height, width, channels] of the bundle's dtype: uint8, or float32
        in [0, 1]. `count` is 1 … 1,000,000 (take `batches` for more than fit in memory), `steps`
        1 … the bundle's max_steps, by default its default_steps; seed + count is at most 2**63.

        Raises ValueError for an argument out of range, RuntimeError if onnxruntime fails.
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
        return (
            run_long(self._session("sampler"), {"seeds": seeds, "steps": _scalar(steps)})[0]
            for seeds in self._seed_batches(count, seed)
        )

    def trajectory(
        self, count: int, *, steps: int | None = None, seed: int = 0
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (step, images) for each step 0 … steps - 1: the denoising as it goes.

        `images` has the shape and dtype of `sample`; the last agrees with it to 1/255. The bundle
        must hold the graphs "noise" and "step"; all the mathematics is theirs. Stop iterating to
        cancel.
        """
        count, steps, seed = self._checked(count, steps, seed)
        return self._trajectory(list(self._seed_batches(count, seed)), steps)

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run a graph of the bundle once: its outputs in order, for its inputs by name."""
        return run_session(self._session(graph), feeds)

    def _trajectory(
        self, seed_batches: list[np.ndarray], steps: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        names = self._carried_names()
        states = [self._first_state(names, seeds) for seeds in seed_batches]
        for step in range(steps):
            images = []
            for number, seeds in enumerate(seed_batches):
                feeds = {"step": _scalar(step), "steps": _scalar(steps), **states[number]}
                *carried, batch = self._step(feeds, seeds)
                states[number] = dict(zip(names, carried, strict=True))
                images.append(batch)
            yield step, np.concatenate(images)

    def _carried_names(self) -> list[str]:
        """Name the inputs of the step graph that its outputs, all but the images, feed again."""
        session = self._session("step")
        inputs = [entry.name for entry in session.get_inputs()]
        own = [name for name in inputs if name not in ("step", "steps", "seeds")]
        return own[: len(session.get_outputs()) - 1]

    def _first_state(self, names: list[str], seeds: np.ndarray) -> dict[str, np.ndarray]:
        """Start from the noise, and from zeros for what a multistep solver carries besides."""
        noise = self.run("noise", {"seeds": seeds})[0]
        return dict.fromkeys(names, np.zeros_like(noise)) | {names[0]: noise}

    def _step(self, feeds: dict[str, np.ndarray], seeds: np.ndarray) -> list[np.ndarray]:
        """Make one step; only the graph of a stochastic solver asks for the seeds."""
        inputs = {entry.name for entry in self._session("step").get_inputs()}
        return self.run("step", feeds | ({"seeds": seeds} if "seeds" in inputs else {}))

    def _seed_batches(self, count: int, seed: int) -> Iterator[np.ndarray]:
        for start in range(seed, seed + count, self._max_batch):
            stop = min(start + self._max_batch, seed + count)
            # Not arange(start, stop): stop may be 2**63, one more than int64 holds.
            yield np.arange(stop - start, dtype=np.int64) + np.int64(start)

    def _session(self, graph: str) -> onnxruntime.InferenceSession:
        with self._lock:
            if graph not in self._sessions:
                self._sessions[graph] = self._load(graph)
            return self._sessions[graph]

    def _load(self, graph: str) -> onnxruntime.InferenceSession:
        content = self._bundle.graph_bytes(graph)
        file = self._bundle.path / self._bundle.graphs[graph]
        try:
            session = create_session(
                content, file, providers=self._providers, threads=self._threads
            )
        except BundleError as error:
            if self.device == "cpu":
                raise
            self._providers = without_cuda(self._wanted_device, str(error))
            return create_session(content, file, providers=self._providers, threads=self._threads)
        self._providers = confirm_providers(
            self._wanted_device, wanted=self._providers, session_providers=session.get_providers()
        )
        return session

    def _checked(self, count: int, steps: int | None, seed: int) -> tuple[int, int, int]:
        count = whole("count", count, 1, MAX_COUNT)
        steps = self._bundle.default_steps if steps is None else steps
        steps = whole("steps", steps, 1, self._bundle.max_steps)
        return count, steps, whole("seed", seed, 0, SEED_END - count)


def _scalar(number: int) -> np.ndarray:
    return np.array(number, np.int64)
