"""Bake a trained diffusion model into a bundle: TensorFlow SavedModel and ONNX graphs.

`export_bundle` takes any Keras network, `export_run` a run directory of diffkiln-train. `Baking`
holds the settings of both, and `Learning` those of learned tables. The schedule that a network was
trained with is a `CosineSchedule`, `FlowSchedule` or `EDMSchedule`, or what `ddpm_linear`,
`ddpm_cosine`, `schedule_from_alphas_cumprod`, `schedule_from_betas` or `rescale_zero_terminal_snr`
make. A `Condition` is what else a network takes.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .options import Baking, Learning

if TYPE_CHECKING:
    from ..trainer.maths.schedules import (
        CosineSchedule,
        EDMSchedule,
        FlowSchedule,
        ddpm_cosine,
        ddpm_linear,
        rescale_zero_terminal_snr,
        schedule_from_alphas_cumprod,
        schedule_from_betas,
    )
    from .bundle import export_bundle
    from .conditions import Condition
    from .run import export_run

__all__ = [
    "Baking",
    "Condition",
    "CosineSchedule",
    "EDMSchedule",
    "FlowSchedule",
    "Learning",
    "ddpm_cosine",
    "ddpm_linear",
    "export_bundle",
    "export_run",
    "rescale_zero_terminal_snr",
    "schedule_from_alphas_cumprod",
    "schedule_from_betas",
]

_SCHEDULES = (
    "CosineSchedule",
    "EDMSchedule",
    "FlowSchedule",
    "ddpm_cosine",
    "ddpm_linear",
    "rescale_zero_terminal_snr",
    "schedule_from_alphas_cumprod",
    "schedule_from_betas",
)

_HOMES = {
    **dict.fromkeys(_SCHEDULES, "..trainer.maths.schedules"),
    "Condition": ".conditions",
    "export_bundle": ".bundle",
    "export_run": ".run",
}


def __getattr__(name: str) -> Any:
    # On first use, so that the command can check its flags before TensorFlow is imported.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
