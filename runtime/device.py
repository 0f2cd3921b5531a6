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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DEVICES = ("auto", "cpu", "cuda")
CUDA_PROVIDER = "CUDAExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"

# Searching for the fastest convolution algorithm costs seconds for every new batch size, and TF32
# would round the convolutions to 10 bits, further from the CPU's pixels than 1/255.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}

Provider = str | tuple[str, dict[str, str]]


class DeviceError(ValueError):
    """The device asked for does not exist or cannot be used on this machine."""


@dataclass(frozen=True)
class Findings:
    """What was found of CUDA on this machine, from the outside in.

    `session_providers` is None before a session exists; `unloadable` names the CUDA and cuDNN
    libraries that onnxruntime.preload_dlls could not load.
    """

    available_providers: tuple[str, ...]
    driver_loads: bool
    gpu_count: int
    unloadable: tuple[str, ...] = ()
    session_providers: tuple[str, ...] | None = None


def obstacle(findings: Findings) -> str | None:
    """Name the first thing that keeps CUDA from being used, with its remedy, or None."""
    if CUDA_PROVIDER not in findings.available_providers:
        return (
            "the installed onnxruntime has no CUDA provider; run pip uninstall onnxruntime, which "
            "owns the same module as onnxruntime-gpu, and then pip install diffkiln[gpu]"
        )
    if not findings.driver_loads:
        return f"the NVIDIA driver ({_driver_library()}) cannot be loaded; install the driver"
    if findings.gpu_count < 1:
        return (
            "the NVIDIA driver shows no GPU; check nvidia-smi, CUDA_VISIBLE_DEVICES and, in a "
            "container, that it was started with access to the GPU"
        )
    if findings.session_providers is not None and CUDA_PROVIDER not in findings.session_providers:
        missing = ", ".join(findings.unloadable) or "a CUDA or cuDNN library"
        return f"{missing} cannot be loaded; run pip install diffkiln[gpu], which brings them"
    return None


def providers_for(device: str) -> list[Provider]:
    """Return the providers onnxruntime shall use for "auto", "cpu" or "cuda", best first.

    "auto" takes CUDA where it can be had and otherwise logs once why not. Raises DeviceError for
    another name, and for "cuda" where an obstacle can be seen before a session is made.
    """
    if device not in DEVICES:
        raise DeviceError(f"device={device!r}: expected one of {', '.join(DEVICES)}")
    if device == "cpu":
        return [CPU_PROVIDER]
    reason = obstacle(_examine())
    if reason is not None:
        return without_cuda(device, reason)
    return [(CUDA_PROVIDER, _CUDA_OPTIONS), CPU_PROVIDER]


def confirm_providers(
    device: str, *, wanted: Sequence[Provider], session_providers: Iterable[str]
) -> list[Provider]:
    """Return the providers to go on with, now that a session shows which it really got.

    Raises DeviceError if `device` is "cuda" and the session has fallen back to the CPU.
    """
    if wanted == [CPU_PROVIDER] or CUDA_PROVIDER in session_providers:
        return list(wanted)
    reason = obstacle(_examine(tuple(session_providers)))
    return without_cuda(device, reason or "onnxruntime fell back to the CPU")


def without_cuda(device: str, reason: str) -> list[Provider]:
    """Return the CPU's provider, with a warning; DeviceError if `device` is "cuda"."""
    if device == "cuda":
        raise DeviceError(f"device='cuda' cannot be used: {reason}; or use device='cpu'")
    _warn_once(reason)
    return [CPU_PROVIDER]


@functools.cache
def _warn_once(reason: str) -> None:
    logging.getLogger("diffkiln.runtime").warning(
        "device='auto' uses the CPU: %s; device='cpu' asks for the CPU and is silent", reason
    )


def _examine(session_providers: tuple[str, ...] | None = None) -> Findings:
    import onnxruntime

    available = tuple(onnxruntime.get_available_providers())
    gpu_count = _gpu_count() if CUDA_PROVIDER in available else None
    return Findings(
        available_providers=available,
        driver_loads=gpu_count is not None,
        gpu_count=gpu_count or 0,
        unloadable=_preload() if gpu_count else (),
        session_providers=session_providers,
    )


def _driver_library() -> str:
    return "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def _gpu_count() -> int | None:
    """Count the GPUs that the driver shows to this process; None if there is no driver."""
    try:
        driver = ctypes.CDLL(_driver_library())
    except OSError:
        return None
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _preload() -> tuple[str, ...]:
    """Load CUDA and cuDNN from their pip packages; the names of those that could not be."""
    import onnxruntime

    with contextlib.redirect_stdout(io.StringIO()) as report:
        onnxruntime.preload_dlls()
    names = re.findall(r"Failed to load (?:.*[/\\])?([^/\\\s:]+):", report.getvalue())
    return tuple(dict.fromkeys(names))
