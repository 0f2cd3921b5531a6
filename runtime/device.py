"""Chooses where the graphs run, and says exactly what is missing when that cannot be CUDA.

onnxruntime itself falls back to the CPU with no more than a line in its log, so each condition is
looked at before a session is made, and the session's own providers afterwards.
"""

import contextlib
import ctypes
import functools
import io
import logging
import re
import sys
from collections.abc import Sequence

from .errors import DeviceError

DEVICES = ("auto", "cpu", "cuda")
CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"

# Searching for the fastest convolution algorithm costs seconds for every new batch size, and TF32
# would round the convolutions to 10 bits, further from the CPU's pixels than 1/255.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}

# What onnxruntime shall use for each device, best first.
PROVIDERS = {"cpu": [CPU_PROVIDER], "cuda": [(CUDA_PROVIDER, _CUDA_OPTIONS), CPU_PROVIDER]}

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def usable_device(device: str) -> str:
    """Return `device`, or "cpu" for an "auto" that can be seen not to get CUDA.

    Raises DeviceError for another name, and for a "cuda" that can be seen not to be had.
    """
    if device not in DEVICES:
        raise DeviceError(f"device={device!r}: expected one of {', '.join(DEVICES)}")
    if device == "cpu":
        return device
    import onnxruntime

    gpu_count = _gpu_count()
    reason = obstacle(onnxruntime.get_available_providers(), gpu_count)
    if reason is not None:
        return cpu_instead(device, reason, gpu=bool(gpu_count))
    _unloadable()
    return device


def obstacle(available_providers: Sequence[str], gpu_count: int | None) -> str | None:
    """Name the first thing that keeps CUDA from being used, with its remedy, or None.

    `gpu_count` is None where the NVIDIA driver cannot be loaded.
    """
    if CUDA_PROVIDER not in available_providers:
        return (
            "the installed onnxruntime has no CUDA provider; run pip uninstall onnxruntime, then "
            "pip install 'diffkiln[gpu]'"
        )
    if gpu_count is None:
        return f"the NVIDIA driver ({_DRIVER}) cannot be loaded; install the driver"
    if gpu_count == 0:
        return (
            "the NVIDIA driver shows no GPU; check nvidia-smi, CUDA_VISIBLE_DEVICES and, in a "
            "container, that it was started with access to the GPU"
        )
    return None


def require_device(device: str, session_providers: Sequence[str]) -> None:
    """DeviceError with the reason if a session made for CUDA has fallen back to the CPU."""
    if device == "cuda" and CUDA_PROVIDER not in session_providers:
        missing = ", ".join(_unloadable()) or "a CUDA or cuDNN library"
        raise DeviceError(
            f"{missing} cannot be loaded; run pip install 'diffkiln[gpu]', which brings them"
        )


def cpu_instead(device: str, reason: str, *, gpu: bool = True) -> str:
    """Return "cpu" and log why, once: a warning if there is a GPU; DeviceError for "cuda"."""
    if device == "cuda":
        raise DeviceError(f"device='cuda' cannot be used: {reason}; or use device='cpu'")
    _log_once(reason, gpu)
    return "cpu"


@functools.cache
def _log_once(reason: str, gpu: bool) -> None:
    logger = logging.getLogger("diffkiln.runtime")
    if gpu:
        logger.warning("using the CPU although there is an NVIDIA GPU: %s", reason)
    else:
        logger.info("using the CPU: %s", reason)


def _gpu_count() -> int | None:
    """Count the GPUs that the driver shows to this process; None if there is no driver."""
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        return None
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


@functools.cache
def _unloadable() -> tuple[str, ...]:
    """Load CUDA and cuDNN from their pip packages; the names of those that could not be."""
    import onnxruntime

    with contextlib.redirect_stdout(io.StringIO()) as report:
        onnxruntime.preload_dlls()
    names = re.findall(r"Failed to load (?:.*[/\\])?([^/\\\s:]+):", report.getvalue())
    return tuple(dict.fromkeys(names))
