"""Loads the graphs of a bundle at their first use, and runs them for any number of images."""

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
from .session import Session, SessionSettings, create_session

# The graphs that a bundle may have without a Loop, for one number of steps and perhaps of images.
_UNROLLED = ("sampler", "from_noise")

# The graphs that never have a Loop, which onnxruntime's OpenVINO does not support.
_WITHOUT_LOOP = ("step", "denoiser")


class Engine:
    """The sessions of one bundle on one device; several threads may share it.

    With `max_batch` None each graph finds its own batch size by measuring.
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
        """Drop the sessions; a run that has begun still ends normally."""
        with self._lock:
            self._sessions = None

    def session(self, graph: str) -> Session:
        """Return the session of a graph, which is loaded at its first use."""
        with self._lock:
            if self._sessions is None:
                raise RunError("this Sampler was closed; make another one to go on")
            if graph not in self._sessions:
                self._sessions[graph] = self._load(graph)
            return self._sessions[graph]

    def inputs(self, graph: str) -> list[str]:
        """Return the names of a graph's inputs, in order."""
        return self.session(graph).inputs

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run a graph once: its outputs in order, for its inputs by name."""
        with self._running(graph) as session:
            return self._checked(graph, feeds, session.run(feeds))

    def run_kept(self, graph: str, feeds: Mapping[str, Any]) -> tuple[list[Any], np.ndarray]:
        """Run a graph once: all outputs but the last stay on the device, for the next run."""
        with self._running(graph) as session:
            kept, last = session.run_kept(feeds)
        self._checked(graph, feeds, [*kept, last])
        return kept, last

    def run_all(
        self, graph: str, images: Mapping[str, np.ndarray], **numbers: float
    ) -> Iterator[np.ndarray]:
        """Yield a graph's only output for some images at a time.

        `images` are inputs with one row for each image, `numbers` its scalars.
        """
        fixed = self.bundle.unrolled_batch if graph in _UNROLLED else None
        draws_noise = graph == "sampler" and self._replays_without_noise()
        graph = "from_noise" if draws_noise else graph
        scalars = {name: scalar(number) for name, number in numbers.items()}
        sizes = self._batch_size(graph, fixed)
        count, start = len(next(iter(images.values()))), 0
        while start < count:
            size = sizes.next(count - start)
            rows = {
                name: _filled(array[start : start + size], fixed) for name, array in images.items()
            }
            began = time.perf_counter()
            if draws_noise:
                rows["noise"] = self.run("noise", {"seeds": rows.pop("seeds")})[0]
            try:
                output = self._run_long(graph, {**rows, **scalars})
            except MemoryShortError:
                if sizes.too_large(size):
                    continue
                raise
            sizes.took(size, time.perf_counter() - began)
            yield output[:size] if fixed else output
            start += size

    def warm_up(self, batch: int) -> None:
        """Run one step of `batch` black images of the graph that sampling uses."""
        graph = "from_noise" if self._replays_without_noise() else "sampler"
        self.session("step" if self.device == "openvino" else graph).warm_up(batch)

    def _run_long(self, graph: str, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        """Run a graph that has one output; Ctrl-C stops it."""
        with self._running(graph) as session:
            (output,) = self._checked(graph, feeds, session.run_long(feeds))
        return output

    def _checked(self, name: str, feeds: Mapping[str, Any], outputs: list[Any]) -> list[Any]:
        """Return the outputs; raise BundleError unless they have the manifest's shapes."""
        graph = self.bundle.graph(name)
        shapes = {name: _shape(value) for name, value in feeds.items()}
        misfit = graph.signature.misfit(shapes, [_shape(output) for output in outputs])
        if misfit:
            raise BundleError(f"{graph.file} gave {misfit}; export the model again")
        return outputs

    @contextlib.contextmanager
    def _running(self, graph: str) -> Iterator[Session]:
        """Give the session of a graph to run, and blame the graph if that fails.

        The inputs are checked, so the graph is at fault. But a GPU may fail for other reasons, and
        memory may be short anywhere.
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
        # CUDA has no kernels for the noise, which is copied to the GPU once in any case.
        if name == "noise" or (self.device == "openvino" and name not in _WITHOUT_LOOP):
            return create_session(graph, replace(self._settings, device="cpu"))
        # With classes, guidance decides how many rows the network gets: a size that may change.
        replay = (
            name == "from_noise"
            and self.bundle.unrolled_steps is not None
            and not self.bundle.class_names
        )
        session = create_session(graph, self._settings, like=self._first, replay=replay)
        # The first session decides; another that cannot follow it to CUDA is an error.
        self._first = self._first or session
        return session

    def _replays_without_noise(self) -> bool:
        """Whether the CPU draws the noise, so that CUDA can replay the rest.

        An unrolled sampler.onnx has nodes on the CPU. from_noise.onnx has none, unless it takes
        seeds for fresh noise in each step.
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


def scalar(number: float) -> np.ndarray:
    """Return a number as graphs take it: int as int64 [], float as float32 []."""
    return np.array(number, np.float32 if isinstance(number, float) else np.int64)


def _shape(value: Any) -> tuple[int, ...]:
    """Return the shape of an array, or of a tensor on a device."""
    return value.shape if isinstance(value, np.ndarray) else tuple(value.shape())


def _filled(rows: np.ndarray, fixed: int | None) -> np.ndarray:
    """Repeat the last row until there are `fixed` rows; those images are dropped."""
    missing = (fixed or len(rows)) - len(rows)
    return rows if not missing else np.concatenate([rows, rows[-1:].repeat(missing, axis=0)])
