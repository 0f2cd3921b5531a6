"""A bundle with its loaded graphs: what all methods of a Sampler share."""

import threading
from collections.abc import Iterator, Mapping
from typing import Self

import numpy as np

from ..bundle.bundle import Bundle
from ..engine.conditioning import Feeds, Labels, checked_conditioning
from ..engine.conditions import Conditions
from ..engine.engine import Engine
from ..engine.feeds import checked_feeds
from ..engine.session import Session
from ..engine.stepwise import Progress, stepwise_batches
from ..limits import MAX_BATCH, whole


class Base:
    """Loads the graphs of an opened bundle and runs them; `Sampler` says what holds for all."""

    bundle: Bundle
    _engine: Engine

    def __enter__(self) -> Self:
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
