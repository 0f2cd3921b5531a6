"""The one place that creates and runs onnxruntime sessions."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..background import Background, completed, require_waiter, require_wanted
from ..bundle.bundle import Graph
from ..checking import Port, Signature
from ..device.device import DEVICES, cpu_instead, log_once, require_device, usable_device
from ..device.placement import described, misplaced, placements
from ..device.providers import providers
from ..device.resources import default_threads
from ..errors import BundleError, DeviceError
from ..limits import MAX_BATCH, MAX_THREADS, whole
from .binding import DTYPES, Replay, run_kept
from .conditioning import Feeds
from .library import in_one_line, onnxruntime, run_error

# What a session logs below this severity also reaches the caller as an exception.
ONLY_FATAL = 4

# How often a long run is asked whether anybody still waits for it.
_SECONDS_BETWEEN_LOOKS = 0.05

# The error for a graph that cannot be loaded on a device, and what its message ends with.
_LOAD_ERRORS = {
    "cpu": (BundleError, "; upgrade onnxruntime or export the model again"),
    "openvino": (DeviceError, " with OpenVINO; use device='cpu'"),
    # A GPU without memory is as likely as a graph that cannot be loaded anywhere.
    "cuda": (DeviceError, " on the GPU; see nvidia-smi for its free memory"),
}


@dataclass(frozen=True)
class SessionSettings:
    """How graphs run: what a caller chooses.

    `device` is "auto", "cpu", "cuda" or "openvino"; `threads` is 1 … 1024, or None for the physical
    cores that this process may use; `max_batch` is 1 … 4096 images at once, or None; with
    `low_power` threads sleep at once while they wait, which leaves the processor to others and
    takes a little longer; with `tf32` a GPU rounds to 10 bits for speed.

    Raises DeviceError for another device, ValueError for a number out of range or a flag that is
    not a bool.
    """

    device: str = "auto"
    threads: int | None = None
    max_batch: int | None = None
    low_power: bool = False
    tf32: bool = False

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise DeviceError(f"device={self.device!r}: expected one of {', '.join(DEVICES)}")
        if self.threads is not None:
            whole("threads", self.threads, 1, MAX_THREADS)
        if self.max_batch is not None:
            whole("max_batch", self.max_batch, 1, MAX_BATCH)
        for name, value in (("low_power", self.low_power), ("tf32", self.tf32)):
            if value not in (True, False):
                raise ValueError(f"{name}={value!r}: expected True or False")


class Session:
    """A loaded graph; several threads may run it at the same time.

    `device` is "cpu", "cuda" or "openvino"; `inputs` are the names of its inputs, in order. With
    `replays` CUDA replays the graph's kernels, from the second run of a shape on.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, device: str, *, replay: bool = False
    ) -> None:
        self._session, self.device, self.replays = session, device, replay
        self.inputs = [entry.name for entry in session.get_inputs()]
        self._replay = Replay(session, device) if replay else None

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        """Return all outputs in the graph's order; RunError carries onnxruntime's reason."""
        return completed(lambda: self._run(feeds, onnxruntime.RunOptions()))

    def run_long(self, feeds: Feeds, cancel: threading.Event | None = None) -> list[np.ndarray]:
        """Do what `run` does, and stop within one node of the graph once nobody waits for it.

        CancelledError if `cancel` is set, or if the process exits around a waiting daemon. Python
        sees Ctrl-C, or an exception from another signal, only between two calls, and one call may
        last for minutes. So another thread makes the call, and the waiting thread tells onnxruntime
        to stop.
        """
        require_wanted(cancel)
        options = onnxruntime.RunOptions()
        running = Background(lambda: self._run(feeds, options))
        try:
            running.start()
            while not running.ended(_SECONDS_BETWEEN_LOOKS):
                require_wanted(cancel)
                require_waiter()
            return running.result()
        except BaseException:
            options.terminate = True
            running.wait()
            raise

    def run_kept(self, feeds: Mapping[str, Any]) -> list[Any]:
        """Do what `run` does, and keep all outputs but the last for `feeds` of another run.

        They are tensors in the GPU's memory; on the CPU they are arrays, which cost nothing to pass
        on. The last is an array.
        """
        return completed(lambda: self._run(feeds, onnxruntime.RunOptions(), keep=True))

    def warm_up(self, batch: int, steps: int = 1, conditions: Feeds | None = None) -> None:
        """Draw `batch` black images in so many steps, so that the next of them need not wait."""
        feeds = {}
        for entry in self._session.get_inputs():
            shape = [batch if isinstance(size, str) else size for size in entry.shape]
            number = steps if entry.name == "steps" else 0
            feeds[entry.name] = np.full(shape, number, DTYPES[entry.type])
        self.run({**feeds, **(conditions or {})})

    def _run(
        self, feeds: Mapping[str, Any], options: onnxruntime.RunOptions, *, keep: bool = False
    ) -> list[Any]:
        try:
            if keep and self.device == "cuda":
                return run_kept(self._session, self.device, feeds, options)
            if self._replay is not None:
                return self._replay.run(feeds, options)
            return [np.asarray(output) for output in self._session.run(None, dict(feeds), options)]
        except Exception as error:  # onnxruntime's errors have no other common base
            raise run_error(error) from error


def create_session(
    graph: Graph, settings: SessionSettings, device: str | None = None, *, replay: bool = False
) -> Session:
    """Load a graph: for "auto" on CUDA if possible, otherwise on the CPU.

    `device` takes precedence over the settings' own. With `replay`, CUDA captures the kernels of a
    graph without control flow and replays them, if onnxruntime can do that.

    Raises BundleError if the graph is damaged or differs from the manifest, DeviceError with the
    reason if it does not get its device, or if "cuda" would leave some of its nodes to the CPU.
    """
    device = device or usable_device(settings.device)
    if device in ("cpu", "openvino"):
        return _load(graph, settings, device)
    # For each convolution in float16, cuDNN complains once of an algorithm that onnxruntime then
    # does without. That goes to the log of the process, whose level a session does not set.
    onnxruntime.set_default_logger_severity(ONLY_FATAL)
    try:
        return _load(graph, settings, "cuda", replay=replay)
    except DeviceError as error:
        if replay:
            log_once("INFO", f"{graph.file.name} is run without replay: {error}")
            return create_session(graph, settings, device)
        cpu_instead(device, str(error))  # which raises for "cuda"
        return _load(graph, settings, "cpu")


def session_options(threads: int | None, *, low_power: bool = False) -> onnxruntime.SessionOptions:
    """Return onnxruntime's options for `threads`, None for the physical cores."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ONLY_FATAL
    options.intra_op_num_threads = default_threads() if threads is None else threads
    # A waiting thread looks for work again and again before it sleeps. onnxruntime's own million
    # times are 16 ms on this processor and half a second on others.
    options.add_session_config_entry("session.intra_op.spin_duration_us", "200")
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(not low_power)))
    return options


def open_session(
    content: bytes, options: onnxruntime.SessionOptions, device: str, **choices: bool
) -> onnxruntime.InferenceSession:
    """Load an ONNX model on "cpu", "cuda" or "openvino", with the `choices` of `providers`.

    onnxruntime's errors pass through.
    """
    preferences = providers(device, threads=options.intra_op_num_threads, **choices)
    # onnxruntime's own fallback would print on stdout and hide the reason.
    return completed(
        lambda: onnxruntime.InferenceSession(
            content, options, providers=preferences, enable_fallback=0
        )
    )


def _load(graph: Graph, settings: SessionSettings, device: str, *, replay: bool = False) -> Session:
    content = graph.content()
    options = session_options(settings.threads, low_power=settings.low_power)
    if device == "cuda":
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        session = open_session(content, options, device, tf32=settings.tf32, replay=replay)
    except Exception as error:  # onnxruntime's errors have no other common base
        kind, remedy = _LOAD_ERRORS[device]
        library = f"onnxruntime {onnxruntime.__version__} ({in_one_line(error)})"
        raise kind(f"{graph.file} cannot be loaded by {library}{remedy}") from error
    # Only onnxruntime's fallback would read it again; it is as large as the file.
    session._model_bytes = None
    require_device(device, session.get_providers())
    graph.require(Signature(_ports(session.get_inputs()), _ports(session.get_outputs())))
    if device == "cuda" and (nodes := misplaced(placements(session))):
        problem = described(nodes, graph.file.name)
        if settings.device == "cuda":
            remedy = "replace the layer, or use device='auto' to accept that"
            raise DeviceError(f"{problem}, with copies there and back; {remedy}")
        log_once("WARNING", problem)
    return Session(session, device, replay=replay)


def _ports(entries: Iterable[Any]) -> tuple[Port, ...]:
    return tuple(
        Port(entry.name, str(DTYPES.get(entry.type, entry.type)), tuple(entry.shape))
        for entry in entries
    )
