"""The one place that makes and runs onnxruntime sessions."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .bundle import Graph, signature
from .device import PROVIDERS, require_device
from .errors import BundleError, DeviceError, LibraryError, MemoryShortError, RunError

try:
    import onnxruntime
except ImportError as error:
    raise LibraryError(
        f"onnxruntime cannot be imported ({error}): run pip install 'diffkiln[cpu]' or "
        "pip install 'diffkiln[gpu]'"
    ) from error

# What a session logs below this severity reaches the caller as an exception anyway.
ONLY_FATAL = 4

# onnxruntime's arena, CUDA, cuDNN and cuBLAS, and C++: no error type tells these apart.
_MEMORY_IS_SHORT = re.compile("failed to allocate|out of memory|alloc_failed|bad_alloc", re.I)

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}


def create_session(graph: Graph, *, device: str, threads: int) -> onnxruntime.InferenceSession:
    """Make a session on "cpu" or "cuda"; `threads` 0 means all physical cores.

    Raises BundleError if the graph is damaged or not what the manifest says, DeviceError with the
    reason if it does not get CUDA.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ONLY_FATAL
    content = graph.content()
    try:
        # Its own fallback would print on stdout and hide the reason.
        session = onnxruntime.InferenceSession(
            content, options, providers=PROVIDERS[device], enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors have no other common base
        # With CUDA, a GPU without memory is as likely as a graph that cannot be loaded anywhere.
        kind = BundleError if device == "cpu" else DeviceError
        raise kind(
            f"{graph.file} cannot be loaded by onnxruntime {onnxruntime.__version__} ({error}); "
            "upgrade onnxruntime or export the model again"
        ) from error
    require_device(device, session.get_providers())
    graph.require(signature(_described(session.get_inputs()), _described(session.get_outputs())))
    return session


def run_session(
    session: onnxruntime.InferenceSession, feeds: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Return all outputs in the graph's order; RunError carries onnxruntime's reason."""
    return _run(session, feeds, onnxruntime.RunOptions())


def run_long(
    session: onnxruntime.InferenceSession, feeds: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Do what `run_session` does, and stop within one node of the graph on Ctrl-C.

    Python sees Ctrl-C only between two calls, and one call may last for minutes. So the call is
    made on another thread, and the waiting one tells onnxruntime to stop.
    """
    options = onnxruntime.RunOptions()
    with ThreadPoolExecutor(max_workers=1) as executor:
        future = executor.submit(_run, session, feeds, options)
        try:
            return future.result()
        except KeyboardInterrupt:
            options.terminate = True
            raise


def _run(
    session: onnxruntime.InferenceSession,
    feeds: Mapping[str, np.ndarray],
    options: onnxruntime.RunOptions,
) -> list[np.ndarray]:
    try:
        return [np.asarray(output) for output in session.run(None, dict(feeds), options)]
    except Exception as error:  # onnxruntime's errors have no other common base
        text = f"onnxruntime could not run the graph ({error})"
        if _MEMORY_IS_SHORT.search(str(error)):
            raise MemoryShortError(f"{text}; memory is short, use a smaller max_batch") from error
        raise RunError(text) from error


def _described(entries: Sequence[Any]) -> list[dict[str, Any]]:
    """Describe inputs or outputs as the manifest does."""
    return [
        {"name": entry.name, "dtype": _DTYPES.get(entry.type, entry.type), "shape": entry.shape}
        for entry in entries
    ]
