"""What the NVIDIA driver shows to this process.

onnxruntime does not say why CUDA is unavailable, so we ask the driver, which CUDA needs first.
"""

import ctypes
import sys
from collections.abc import Callable
from typing import NamedTuple

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

# From the driver's header, cuda.h. NOT_INITIALIZED is what cuInit says in a fork.
NOT_INITIALIZED = 3
_NO_DEVICE = 100
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76


class Gpu(NamedTuple):
    """A GPU's name and its compute capability, like (8, 0)."""

    name: str
    capability: tuple[int, int]


class Driver(NamedTuple):
    """The driver: the newest CUDA it can run, its GPUs, or the error code if it did not start.

    `cuda` is like (12, 4), or None if the driver does not say.
    """

    cuda: tuple[int, int] | None = None
    gpus: tuple[Gpu, ...] = ()
    error: int | None = None


def find_driver() -> Driver | None:
    """Ask the driver; None if there is none."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    status = library.cuInit(0)
    version = _number(library.cuDriverGetVersion)
    cuda = (version // 1000, version % 1000 // 10) if version else None
    if status not in (0, _NO_DEVICE):
        return Driver(cuda, error=status)
    count = 0 if status else _number(library.cuDeviceGetCount)
    return Driver(cuda, tuple(_gpu(library, index) for index in range(count)))


def _gpu(library: ctypes.CDLL, index: int) -> Gpu:
    device = _number(library.cuDeviceGet, index)
    name = ctypes.create_string_buffer(100)
    library.cuDeviceGetName(name, len(name), device)
    major, minor = (
        _number(library.cuDeviceGetAttribute, attribute, device)
        for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR)
    )
    return Gpu(name.value.decode(errors="replace"), (major, minor))


def _number(function: Callable[..., int], *arguments: int) -> int:
    """Return the number that a driver function writes to its first argument, 0 if it fails."""
    number = ctypes.c_int(0)
    return 0 if function(ctypes.byref(number), *arguments) else number.value
