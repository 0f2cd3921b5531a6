"""Loads the graphs of a bundle when they are needed, and runs them over any number of images."""

import threading
import time
from collections.abc import Iterator, Mapping

import numpy as np

from .batch_size import BatchSize
from .bundle import Bundle, Graph
from .device import cpu_instead, usable_device
from .errors import DeviceError, MemoryShortError, RunError
from .session import create_session, onnxruntime, run_long, run_session

# The graphs that a bundle may have without a Loop, for one number of steps and perhaps of images.
_UNROLLED = ("sampler", "from_noise")


class Engine:
    """The sessions of one bundle on one device; several threads may share it.

    `max_batch` None lets each graph find its own by measuring.
    """

    def __init__(self, bundle: Bundle, *, device: str, threads: int, max_batch: int | None) -> None:
        self.bundle = bundle
        self._threads, self._max_batch = threads, max_batch
        self._device = usable_device(device)
        self._sessions: dict[str, onnxruntime.InferenceSession] | None = {}
        self._sizes: dict[str, BatchSize] = {}
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """Where the graphs run, "cpu" or "cuda"; final once the first of them has been loaded."""
        return "cpu" if self._device == "cpu" else "cuda"

    def close(self) -> None:
        """Let go of the sessions; a run that has begun ends as if nothing had happened."""
        with self._lock:
            self._sessions = None

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run a graph once: its outputs in order, for its inputs by name."""
        return run_session(self._session(graph), feeds)

    def inputs(self, graph: str) -> list[str]:
        """Return the names of a graph's inputs, in order."""
        return [entry.name for entry in self._session(graph).get_inputs()]

    def run_all(
        self, graph: str, images: Mapping[str, np.ndarray], **numbers: int
    ) -> Iterator[np.ndarray]:
        """Yield a graph's only output for some images at a time.

        `images` are inputs with one row for each image, `numbers` its int64 scalars.
        """
        fixed = self.bundle.unrolled_batch if graph in _UNROLLED else None
        scalars = {name: scalar(number) for name, number in numbers.items()}
        count, start = len(next(iter(images.values()))), 0
        while start < count:
            session, sizes = self._session(graph), self._batch_size(graph, fixed)
            size = sizes.next(count - start)
            rows = {
                name: _filled(array[start : start + size], fixed) for name, array in images.items()
            }
            began = time.perf_counter()
            try:
                output = run_long(session, {**rows, **scalars})[0]
            except MemoryShortError:
                if sizes.too_large(size):
                    continue
                raise
            sizes.took(size, time.perf_counter() - began)
            yield output[:size] if fixed else output
            start += size

    def _session(self, graph: str) -> onnxruntime.InferenceSession:
        with self._lock:
            if self._sessions is None:
                raise RunError("this Sampler was closed; make another one to go on")
            if graph not in self._sessions:
                self._sessions[graph] = self._load(self.bundle.graph(graph))
                # The first one decides; another that cannot follow it to CUDA is an error.
                self._device = self.device
            return self._sessions[graph]

    def _load(self, graph: Graph) -> onnxruntime.InferenceSession:
        try:
            return create_session(graph, device=self.device, threads=self._threads)
        except DeviceError as error:
            self._device = cpu_instead(self._device, str(error))
            return create_session(graph, device=self._device, threads=self._threads)

    def _batch_size(self, graph: str, fixed: int | None) -> BatchSize:
        with self._lock:
            if graph not in self._sizes:
                self._sizes[graph] = BatchSize(self.device, fixed or self._max_batch)
            return self._sizes[graph]


def scalar(number: int) -> np.ndarray:
    """Return a number as graphs take it."""
    return np.array(number, np.int64)


def _filled(rows: np.ndarray, fixed: int | None) -> np.ndarray:
    """Repeat the last row until there are `fixed` of them; those images are dropped."""
    missing = (fixed or len(rows)) - len(rows)
    return rows if not missing else np.concatenate([rows, rows[-1:].repeat(missing, axis=0)])
