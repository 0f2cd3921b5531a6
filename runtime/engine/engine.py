"""Loads the graphs of a bundle at their first use, and runs them for any number of images."""

import ctypes
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..bundle.bundle import Bundle
from ..bundle.graph import UNROLLED
from ..device.device import usable_device
from ..device.resources import trim_memory
from ..errors import BundleError, MemoryShortError, RunError
from .batching import BatchSize
from .conditioning import Feeds
from .conditions import examples
from .feeds import declared
from .session import Session, SessionSettings, create_session

# The graphs that never have a Loop, which onnxruntime's OpenVINO does not support.
_WITHOUT_LOOP = ("step", "denoiser", "decoder", "encoder")

Way = Callable[[Session, Mapping[str, Any]], list[Any]]


class Engine:
    """The sessions of one bundle on one device; several threads may share it.

    Without `max_batch` in the settings, each graph finds its own batch size by measuring. A fork
    and a copy, pickled or not, load sessions of their own.
    """

    def __init__(self, bundle: Bundle, settings: SessionSettings) -> None:
        self.bundle, self.settings = bundle, settings
        self._begin()
        self._usable()
        _engines.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Engine, (self.bundle, self.settings)

    def _begin(self) -> None:
        self._device: str | None = None
        self._sessions: dict[str, Session] | None = {}
        self._sizes: dict[str, BatchSize] = {}
        self._lock = threading.Lock()

    def begin_anew(self) -> None:
        """Forget the parent's sessions, in a child of a fork.

        A session waits for its threads when it is destroyed, and a fork has none of them. So no
        session of the parent is ever destroyed here.
        """
        sessions = self._sessions
        for session in (sessions or {}).values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
        self._begin()
        self._sessions = None if sessions is None else {}

    @property
    def device(self) -> str:
        """Where graphs run, "cpu", "cuda" or "openvino"; final once the first has been loaded."""
        return "cuda" if self._usable() == "auto" else self._usable()

    def close(self) -> None:
        """Drop the sessions; a run that has begun still ends normally."""
        with self._lock:
            self._sessions = None
        trim_memory()

    def session(self, graph: str) -> Session:
        """Return the session of a graph, which is loaded at its first use."""
        with self._lock:
            if self._sessions is None:
                raise RunError("this Sampler was closed; make another one to go on")
            if graph not in self._sessions:
                self._sessions[graph] = self._load(graph)
            return self._sessions[graph]

    def run(self, name: str, feeds: Mapping[str, Any], way: Way = Session.run) -> list[Any]:
        """Run a graph once, in one of a Session's ways: its outputs in order, for inputs by name.

        The inputs are checked, so a failure is the graph's, a BundleError, like outputs of other
        shapes than the manifest says. But a GPU may fail for other reasons, and memory may be short
        anywhere.
        """
        session, graph = self.session(name), self.bundle.graph(name)
        feeds = declared(graph.signature, feeds)
        try:
            outputs = way(session, feeds)
        except RunError as error:
            if session.device == "cuda" or isinstance(error, MemoryShortError):
                raise
            raise BundleError(f"{graph.file}: {error}; export the model again") from error
        shapes = {name: _shape(value) for name, value in feeds.items()}
        misfit = graph.signature.misfit(shapes, [_shape(output) for output in outputs])
        if misfit:
            raise BundleError(f"{graph.file} gave {misfit}; export the model again")
        return outputs

    def run_all(
        self, graph: str, feeds: Feeds, cancel: threading.Event | None = None
    ) -> Iterator[np.ndarray]:
        """Yield a graph's only output for some images at a time; Ctrl-C and `cancel` stop it."""
        fixed = self.bundle.unrolled_batch if graph in UNROLLED else None
        draws_noise = graph == "sampler" and self._replays_without_noise()
        graph = "from_noise" if draws_noise else graph
        asked = fixed or self.settings.max_batch
        sizes = self._sizes.setdefault(graph, BatchSize(self.device, asked))
        count, start = count_of(feeds), 0
        while start < count:
            size = sizes.next(count - start)
            # A graph for a fixed number of images gets the last one again, and that is dropped.
            batch = part(feeds, np.arange(start, start + (fixed or size)))
            began = time.perf_counter()
            if draws_noise:
                batch["noise"] = self.run("noise", {"seeds": batch.pop("seeds")})[0]
            try:
                (images,) = self.run(graph, batch, partial(Session.run_long, cancel=cancel))
            except MemoryShortError:
                if sizes.too_large(size):
                    continue
                raise
            sizes.took(size, time.perf_counter() - began)
            yield images[:size] if fixed else images
            start += size

    def warm_up(self, batch: int) -> None:
        """Draw `batch` black images, or what is unrolled, with the graph that sampling uses."""
        graph = "from_noise" if self._replays_without_noise() else "sampler"
        graph = "step" if self.device == "openvino" else graph
        fixed = self.bundle.unrolled_batch if graph in UNROLLED else None
        given = examples(self.bundle, fixed or batch)
        self.session(graph).warm_up(batch, self.bundle.unrolled_steps or 1, given)

    def draws_further_noise(self) -> bool:
        """Whether from_noise.onnx takes seeds: for fresh noise in each step, or a second stage."""
        inputs = self.bundle.graph("from_noise").signature.inputs
        return any(port.name == "seeds" for port in inputs)

    def _load(self, name: str) -> Session:
        graph = self.bundle.graph(name)
        # CUDA has no kernels for the noise, which is copied to the GPU once in any case.
        if name == "noise" or (self.device == "openvino" and name not in _WITHOUT_LOOP):
            return create_session(graph, self.settings, "cpu")
        # Guidance decides how many rows the network gets: a size that may change.
        once = self.bundle.takes_guidance or not self.bundle.is_guided
        fixed = self.bundle.unrolled_steps is not None and once
        replay = fixed and name == "from_noise"
        session = create_session(graph, self.settings, self._usable(), replay=replay)
        # The first session decides; another that cannot follow it to CUDA is an error.
        self._device = session.device
        return session

    def _usable(self) -> str:
        """The device to try; a fork asks for it again, since it cannot go on with CUDA."""
        if self._device is None:
            self._device = usable_device(self.settings.device)
        return self._device

    def _replays_without_noise(self) -> bool:
        """Whether the CPU draws the noise, so that CUDA can replay the rest.

        An unrolled sampler.onnx has nodes on the CPU. from_noise.onnx has none, unless it takes
        seeds for further noise.
        """
        return (
            self.device == "cuda"
            and self.bundle.unrolled_steps is not None
            and {"noise", "from_noise"} <= self.bundle.graphs.keys()
            and not self.draws_further_noise()
        )


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _forked() -> None:
    for engine in _engines:
        engine.begin_anew()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_forked)


def count_of(feeds: Feeds) -> int:
    """Return for how many images a graph's inputs are; all but scalars have a row for each."""
    return next(len(array) for array in feeds.values() if array.ndim)


def part(feeds: Feeds, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the inputs of the images `rows` int64 [M]; a row beyond the last repeats the last."""
    return {
        # Not `take`, which would first copy all rows where they are one row repeated.
        name: array[np.minimum(rows, len(array) - 1)] if array.ndim else array
        for name, array in feeds.items()
    }


def _shape(value: Any) -> tuple[int, ...]:
    """Return the shape of an array, or of a tensor on a device."""
    return value.shape if isinstance(value, np.ndarray) else tuple(value.shape())
