"""The one place that makes and runs onnxruntime sessions."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .bundle import BundleError
from .device import Provider

try:
    import onnxruntime
except ImportError as error:
    raise ImportError(
        f"onnxruntime cannot be imported ({error}): install diffkiln[cpu] or diffkiln[gpu]"
    ) from error

# What a session logs below this severity reaches the caller as an exception anyway.
ONLY_FATAL = 4


def create_session(
    content: bytes, file: Path, *, providers: Sequence[Provider], threads: int
) -> onnxruntime.InferenceSession:
    """Make a session for the content of a graph's file; `threads` 0 means all physical cores.

    Raises BundleError if onnxruntime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = ONLY_FATAL
    try:
        # Its own fallback would print on stdout and hide the reason.
        return onnxruntime.InferenceSession(
            content, options, providers=list(providers), enable_fallback=0
        )
    except Exception as error:  # onnxruntime's errors have no other common base
        raise BundleError(
            f"{file} cannot be loaded by onnxruntime "
            f"{onnxruntime.__version__} ({error}); upgrade onnxruntime or export the model again"
        ) from error


def run_session(
    session: onnxruntime.InferenceSession, feeds: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Return all outputs in the graph's order; RuntimeError carries onnxruntime's reason."""
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
        raise RuntimeError(
            f"onnxruntime could not run the graph ({error}); if memory is short, use a smaller "
            "max_batch"
        ) from error
