"""The one place that runs onnxruntime sessions; loading.py makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..background import Background
from ..device.device import require_known
from ..limits import MAX_THREADS, whole
from .binding import DTYPES, Replay, run_kept
from .failures import run_error
from .library import onnxruntime

# What a session logs below this severity reaches the caller as an exception anyway.
ONLY_FATAL = 4


@dataclass(frozen=True)
class SessionSettings:
    """How graphs run: what a caller chooses.

    `device` is "auto", "cpu", "cuda" or "openvino"; `threads` 1 … 1024, None for as many as there
    are physical cores for this process; `low_power` lets threads sleep while they wait, at once,
    which leaves the processor to others and takes a little longer; `tf32` lets a GPU round to 10
    bits for speed.

    Raises DeviceError for another device, ValueError for threads out of range or a flag that is
    not a bool.
    """

    device: str = "auto"
    threads: int | None = None
    low_power: bool = False
    tf32: bool = False

    def __post_init__(self) -> None:
        require_known(self.device)
        if self.threads is not None:
            whole("threads", self.threads, 1, MAX_THREADS)
        for name in ("low_power", "tf32"):
            value = getattr(self, name)
            if value not in (True, False):
                raise ValueError(f"{name}={value!r}: expected True or False")


class Session:
    """A graph that has been loaded; several threads may run it at the same time."""

    def __init__(
        self, session: onnxruntime.InferenceSession, device: str, *, replay: bool = False
    ) -> None:
        self._session, self._device = session, device
        self._replay = Replay(session, device) if replay else None

    @property
    def device(self) -> str:
        """Where it runs, "cpu", "cuda" or "openvino"."""
        return self._device

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs, in order."""
        return [entry.name for entry in self._session.get_inputs()]

    @property
    def replays(self) -> bool:
        """Whether CUDA replays the graph's kernels, from the second run of a shape on."""
        return self._replay is not None

    def run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return all outputs in the graph's order; RunError carries onnxruntime's reason."""
        return self._run(feeds, onnxruntime.RunOptions())

    def run_long(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Do what `run` does, and stop within one node of the graph on Ctrl-C.

        Python sees Ctrl-C only between two calls, and one call may last for minutes. So the call is
        made on another thread, and the waiting one tells onnxruntime to stop.
        """
        options = onnxruntime.RunOptions()
        running = Background(lambda: self._run(feeds, options))
        try:
            return running.start().result()
        except KeyboardInterrupt:
            options.terminate = True
            running.wait()
            raise

    def run_kept(self, feeds: Mapping[str, Any]) -> tuple[list[Any], np.ndarray]:
        """Run once; all outputs but the last are for `feeds` of another run, the last is an array.

        Those stay in the GPU's memory. On the CPU they are arrays, which cost nothing to pass on.
        """
        if self._device != "cuda":
            *kept, last = self.run(feeds)
            return kept, last
        try:
            return run_kept(self._session, self._device, feeds, onnxruntime.RunOptions())
        except Exception as error:  # onnxruntime's errors have no other common base
            raise run_error(error) from error

    def warm_up(self, batch: int) -> None:
        """Run one step of `batch` black images, so that the next run of that size does not wait.

        At the first run of a shape a GPU's algorithms are chosen, its memory is had, and kernels to
        be replayed are captured. Without this, that is part of the first run.
        """
        self.run({entry.name: _blank(entry, batch) for entry in self._session.get_inputs()})

    def _run(
        self, feeds: Mapping[str, np.ndarray], options: onnxruntime.RunOptions
    ) -> list[np.ndarray]:
        try:
            if self._replay is not None:
                return self._replay.run(feeds, options)
            return [np.asarray(output) for output in self._session.run(None, dict(feeds), options)]
        except Exception as error:  # onnxruntime's errors have no other common base
            raise run_error(error) from error


def _blank(entry: Any, batch: int) -> np.ndarray:
    """Zeros for an input; the number of steps is 1, and what the graph leaves open is `batch`."""
    shape = [batch if isinstance(size, str) else size for size in entry.shape]
    return np.full(shape, int(entry.name == "steps"), DTYPES[entry.type])
