"""Samples images from an exported bundle, with onnxruntime and without TensorFlow.

    from diffkiln.runtime import Sampler

    images = Sampler("flowers.bundle").sample(16, steps=20, seed=0)

The command `diffkiln-sample` does the same from a shell, and `diffkiln-bench` times it.
"""

import os
from typing import TYPE_CHECKING, Any

from .bundle.bundle import Bundle, open_bundle
from .errors import (
    BundleError,
    CancelledError,
    DeviceError,
    DiffkilnError,
    LibraryError,
    MemoryShortError,
    RunError,
)
from .output.images import image_grid

# onnxruntime sends telemetry from 1.29 on, unless this is set before it is imported. The exporter
# imports this package before it, too.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from .sampler import Sampler

__all__ = [
    "Bundle",
    "BundleError",
    "CancelledError",
    "DeviceError",
    "DiffkilnError",
    "LibraryError",
    "MemoryShortError",
    "RunError",
    "Sampler",
    "image_grid",
    "open_bundle",
]


def __getattr__(name: str) -> Any:
    """Import `Sampler` on first use: the commands check their flags before onnxruntime loads."""
    if name == "Sampler":
        from .sampler import Sampler

        return Sampler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
