"""Loads the graphs of a bundle when they are needed, and runs them over any number of images."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..bundle.bundle import Bundle
from ..device.device import usable_device
from ..errors import BundleError, MemoryShortError, RunError
from .batching import BatchSize
from .loading import create_session
from .session import Session, SessionSettings

# The graphs that a bundle may have without a Loop, for one number of steps and perhaps of images.
_UNROLLED = ("sampler", "from_noise")

# Those that never have one: onnxruntime's OpenVINO takes no Loop.
_WITHOUT_LOOP = ("step", "denoiser")


class Engine:
    """The sessions of one bundle on one device; several threads may share it.

    `max_batch` None lets each graph find its own by measuring.
    """

    def __init__(self, bundle: Bundle, settings: SessionSettings, *, max_batch: int | None) -> None:
        self.bundle = bundle
        self._settings, self._max_batch = settings, max_batch
        self._device = usable_device(settings.device)
        self._first: Session | None = None
        self._sessions: dict[str, Session] | None = {}
        self._sizes: dict[str, BatchSize] = {}
        self._lock = threading.Lock()

    @property
    def device(self) -> str:
        """Where the graphs run, "cpu", "cuda" or "openvino".

        It is final once the first of them has been loaded.
        """
        if self._first is not None:
            return self._first.device
        return "cuda" if self._device == "auto" else self._device

    def close(self) -> None:
        """Let go of the sessions; a run that has begun ends as if nothing had happened."""
        with self._lock:
            self._sessions = None

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run a graph once: its outputs in order, for its inputs by name."""
        with self._blaming(graph) as session:
            return self._required(graph, feeds, session.run(feeds))

    def run_kept(self, graph: str, feeds: Mapping[str, Any]) -> tuple[list[Any], np.ndarray]:
        """Run a graph once: all outputs but the last stay on the device, for the next run."""
        with self._blaming(graph) as session:
            kept, last = session.run_kept(feeds)
        self._required(graph, feeds, [*kept, last])
        return kept, last

    def inputs(self, graph: str) -> list[str]:
        """Return the names of a graph's inputs, in order."""
        return self.session(graph).inputs

    def warm_up(self, batch: int) -> None:
        """Run one step of `batch` black images of the graph that sampling uses."""
        graph = "from_noise" if self._draws_apart() else "sampler"
        self.session("step" if self.device == "openvino" else graph).warm_up(batch)

    def run_all(
        self, graph: str, images: Mapping[str, np.ndarray], **numbers: float
    ) -> Iterator[np.ndarray]:
        """Yield a graph's only output for some images at a time.

        `images` are inputs with one row for each image, `numbers` its scalars.
        """
        fixed = self.bundle.unrolled_batch if graph in _UNROLLED else None
        draws_apart = graph == "sampler" and self._draws_apart()
        graph = "from_noise" if draws_apart else graph
        scalars = {name: scalar(number) for name, number in numbers.items()}
        count, start = len(next(iter(images.values()))), 0
        while start < count:
            sizes = self._batch_size(graph, fixed)
            size = sizes.next(count - start)
            rows = {
                name: _filled(array[start : start + size], fixed) for name, array in images.items()
            }
            began = time.perf_counter()
            if draws_apart:
                rows["noise"] = self.run("noise", {"seeds": rows.pop("seeds")})[0]
            try:
                with self._blaming(graph) as session:
                    feeds = {**rows, **scalars}
                    (output,) = self._required(graph, feeds, session.run_long(feeds))
            except MemoryShortError:
                if sizes.too_large(size):
                    continue
                raise
            sizes.took(size, time.perf_counter() - began)
            yield output[:size] if fixed else output
            start += size

    def _required(self, name: str, feeds: Mapping[str, Any], outputs: list[Any]) -> list[Any]:
        """Return the outputs; BundleError unless their shapes are what the manifest says."""
        graph = self.bundle.graph(name)
        given = {name: _shape(value) for name, value in feeds.items()}
        misfit = graph.signature.misfit(given, [_shape(output) for output in outputs])
        if misfit:
            raise BundleError(f"{graph.file} gave {misfit}; export the model again")
        return outputs

    def session(self, graph: str) -> Session:
        """Return the session of a graph, which is loaded at its first use."""
        with self._lock:
            if self._sessions is None:
                raise RunError("this Sampler was closed; make another one to go on")
            if graph not in self._sessions:
                self._sessions[graph] = self._load(graph)
            return self._sessions[graph]

    @contextlib.contextmanager
    def _blaming(self, graph: str) -> Iterator[Session]:
        """Give a session to run; its failure is the graph's, as its inputs are of our making.

        A GPU may fail for other reasons, and memory may be short anywhere.
        """
        session = self.session(graph)
        try:
            yield session
        except MemoryShortError:
            raise
        except RunError as error:
            if session.device == "cuda":
                raise
            raise BundleError(
                f"{self.bundle.graph(graph).file}: {error}; export the model again"
            ) from error

    def _load(self, name: str) -> Session:
        graph = self.bundle.graph(name)
        # The noise has no CUDA kernels, and what it draws is copied to the GPU once in any case.
        if name == "noise" or (self.device == "openvino" and name not in _WITHOUT_LOOP):
            return create_session(graph, replace(self._settings, device="cpu"))
        # With classes, guidance decides how many rows the network gets: a size that may change.
        replay = (
            name == "from_noise"
            and self.bundle.unrolled_steps is not None
            and not self.bundle.class_names
        )
        session = create_session(graph, self._settings, like=self._first, replay=replay)
        # The first one decides; another that cannot follow it to CUDA is an error.
        self._first = self._first or session
        return session

    def _draws_apart(self) -> bool:
        """Whether images are drawn from noise that the CPU makes, so that CUDA can replay the rest.

        An unrolled sampler.onnx has nodes on the CPU, which from_noise.onnx has not, unless it
        takes the seeds for fresh noise in each step.
        """
        graphs = self.bundle.graphs
        return (
            self.device == "cuda"
            and self.bundle.unrolled_steps is not None
            and {"noise", "from_noise"} <= graphs.keys()
            and all(port.name != "seeds" for port in graphs["from_noise"].signature.inputs)
        )

    def _batch_size(self, graph: str, fixed: int | None) -> BatchSize:
        with self._lock:
            if graph not in self._sizes:
                self._sizes[graph] = BatchSize(self.device, fixed or self._max_batch)
            return self._sizes[graph]


def _shape(value: Any) -> tuple[int, ...]:
    """That of an array, or of a tensor on a device."""
    return value.shape if isinstance(value, np.ndarray) else tuple(value.shape())


def scalar(number: float) -> np.ndarray:
    """Return a number as graphs take it: whole ones int64, others float32."""
    return np.array(number, np.float32 if isinstance(number, float) else np.int64)


def _filled(rows: np.ndarray, fixed: int | None) -> np.ndarray:
    """Repeat the last row until there are `fixed` of them; those images are dropped."""
    missing = (fixed or len(rows)) - len(rows)
    return rows if not missing else np.concatenate([rows, rows[-1:].repeat(missing, axis=0)])
