"""Bake a trained diffusion model into a bundle: TensorFlow SavedModel and ONNX graphs.

`export_bundle` takes any Keras network, `export_run` a run directory of diffkiln-train. `Baking`
holds the settings of both, and `Learning` those of learned tables. `CosineSchedule`, `ddpm_linear`
and `ddpm_cosine` are the schedules that a network may have been trained with.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .options import Baking, Learning

if TYPE_CHECKING:
    from ..trainer.maths.schedules import CosineSchedule, ddpm_cosine, ddpm_linear
    from .bundle import export_bundle
    from .run import export_run

__all__ = [
    "Baking",
    "CosineSchedule",
    "Learning",
    "ddpm_cosine",
    "ddpm_linear",
    "export_bundle",
    "export_run",
]

_HOMES = {
    **dict.fromkeys(("CosineSchedule", "ddpm_cosine", "ddpm_linear"), "..trainer.maths.schedules"),
    "export_bundle": ".bundle",
    "export_run": ".run",
}


def __getattr__(name: str) -> Any:
    # On first use, so that the command can check its flags before TensorFlow is imported.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
