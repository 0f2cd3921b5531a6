"""Sessions of the benchmark's own, for what a Sampler does not do: profiles and matrix products."""

import onnxruntime

from ..device.cpu import default_threads
from ..device.providers import providers
from ..engine.session import ONLY_FATAL


def session_options(threads: int | None) -> onnxruntime.SessionOptions:
    """Make options for so many threads, None for the physical cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    options.log_severity_level = ONLY_FATAL
    return options


def open_session(
    content: bytes, options: onnxruntime.SessionOptions, device: str
) -> onnxruntime.InferenceSession:
    """Load a graph on a device that a Sampler has been given before."""
    chosen = providers(device, threads=options.intra_op_num_threads)
    return onnxruntime.InferenceSession(content, options, providers=chosen, enable_fallback=0)
