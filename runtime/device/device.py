"""Chooses where the graphs run, and names exactly what is missing if a device is unavailable.

onnxruntime falls back to the CPU with only a line in its log. So each condition is checked before
a session is created, and the session's own providers afterwards.
"""

import contextlib
import functools
import io
import re
from collections.abc import Sequence

from ..errors import DeviceError
from .cuda import LIBRARY, NOT_INITIALIZED, Driver, find_driver

DEVICES = ("auto", "cpu", "cuda", "openvino")
CUDA_PROVIDER = "CUDAExecutionProvider"
OPENVINO_PROVIDER = "OpenVINOExecutionProvider"
CPU_PROVIDER = "CPUExecutionProvider"

PROVIDERS = {"cpu": CPU_PROVIDER, "cuda": CUDA_PROVIDER, "openvino": OPENVINO_PROVIDER}

# The oldest GPUs that a version of CUDA can be compiled for, from its release notes. For other
# versions onnxruntime fails at the first run, and `run_error` explains that.
_OLDEST_CAPABILITY = {13: (7, 5)}


def usable_device(device: str) -> str:
    """Return `device`, or "cpu" for "auto" if something keeps CUDA from being used.

    Raises DeviceError if another device is unavailable.
    """
    if device == "cpu":
        return device
    import onnxruntime

    available_providers = onnxruntime.get_available_providers()
    if device == "openvino":
        _require_openvino(available_providers)
        return device
    driver = find_driver()
    reason = obstacle(available_providers, driver, getattr(onnxruntime, "cuda_version", ""))
    if reason is not None:
        return cpu_instead(device, reason, gpu=bool(driver and driver.gpus))
    _unloadable()
    return device


def _require_openvino(available_providers: Sequence[str]) -> None:
    if OPENVINO_PROVIDER not in available_providers:
        raise DeviceError(
            "device='openvino' cannot be used: the installed onnxruntime has no OpenVINO provider; "
            "run pip uninstall onnxruntime, then pip install onnxruntime-openvino, or use "
            "device='cpu'"
        )


def obstacle(
    available_providers: Sequence[str], driver: Driver | None, built_for: str
) -> str | None:
    """Name the first thing that keeps CUDA from being used, with its remedy, or None.

    `driver` is None if the NVIDIA driver cannot be loaded; `built_for` is the CUDA version that
    onnxruntime was built for, like "13.0", or "".
    """
    if CUDA_PROVIDER not in available_providers:
        return (
            "the installed onnxruntime has no CUDA provider; run pip uninstall onnxruntime, then "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    if driver is None:
        return f"the NVIDIA driver ({LIBRARY}) cannot be loaded; install the driver"
    if driver.error == NOT_INITIALIZED:
        return (
            "CUDA was used before this process was forked, and a fork cannot use it; make the "
            "Sampler in the child, or start children with multiprocessing's 'spawn'"
        )
    if driver.error is not None:
        return (
            f"the NVIDIA driver does not start (CUDA error {driver.error}); check nvidia-smi, and "
            "restart the machine or the container if the driver was updated"
        )
    if not driver.gpus:
        return (
            "the NVIDIA driver shows no GPU; check nvidia-smi, CUDA_VISIBLE_DEVICES and, in a "
            "container, that it was started with access to the GPU"
        )
    return _too_old(driver, built_for)


def require_device(device: str, session_providers: Sequence[str]) -> None:
    """Raise DeviceError with the reason if a session has fallen back to the CPU."""
    if device == "openvino":
        _require_openvino(session_providers)
    if device == "cuda" and CUDA_PROVIDER not in session_providers:
        missing = ", ".join(_unloadable()) or "a CUDA or cuDNN library"
        raise DeviceError(
            f"{missing} cannot be loaded; run pip install 'onnxruntime-gpu[cuda,cudnn]', which "
            "installs them"
        )


def cpu_instead(device: str, reason: str, *, gpu: bool = True) -> str:
    """Return "cpu" and log why, as a warning if there is a GPU; raise DeviceError for "cuda"."""
    if device == "cuda":
        raise DeviceError(f"device='cuda' cannot be used: {reason}; or use device='cpu'")
    if gpu:
        log_once("WARNING", f"using the CPU although there is an NVIDIA GPU: {reason}")
    else:
        log_once("INFO", f"using the CPU: {reason}")
    return "cpu"


@functools.cache
def log_once(level: str, message: str) -> None:
    """Log a message once, not again for every graph and every Sampler."""
    import logging  # slow to import, and rarely needed

    logging.getLogger("diffkiln.runtime").log(logging.getLevelName(level), "%s", message)


def _too_old(driver: Driver, built_for: str) -> str | None:
    """Say if the driver or the first GPU is too old for this build of onnxruntime, or None."""
    major = int(built_for.split(".")[0] or 0) if built_for[:1].isdigit() else 0
    if driver.cuda is not None and driver.cuda[0] < major:
        return (
            f"the NVIDIA driver runs CUDA up to {_dotted(driver.cuda)}, but onnxruntime was built "
            f"for CUDA {built_for}; update the driver, or install an onnxruntime-gpu for CUDA "
            f"{driver.cuda[0]}"
        )
    gpu, oldest = driver.gpus[0], _OLDEST_CAPABILITY.get(major, (0, 0))
    if gpu.capability < oldest:
        return (
            f"{gpu.name} has compute capability {_dotted(gpu.capability)}, but onnxruntime for "
            f"CUDA {built_for} needs {_dotted(oldest)} or newer; install an older onnxruntime-gpu "
            "for an older CUDA"
        )
    return None


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


@functools.cache
def _unloadable() -> tuple[str, ...]:
    """Load CUDA and cuDNN from their pip packages; return the names of libraries that fail."""
    import onnxruntime

    with contextlib.redirect_stdout(io.StringIO()) as report:
        onnxruntime.preload_dlls()
    names = re.findall(r"Failed to load (?:.*[/\\])?([^/\\\s:]+):", report.getvalue())
    return tuple(dict.fromkeys(names))
