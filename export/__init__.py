"""Bake a trained diffusion model into a bundle: TensorFlow SavedModel and ONNX graphs.

`export_bundle` takes any Keras network, `export_run` a run directory of diffkiln-train.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bundle import export_bundle
    from .run import export_run

__all__ = ["export_bundle", "export_run"]


def __getattr__(name: str) -> Any:
    # On first use, so that the command can check its flags before TensorFlow is imported.
    if name == "export_bundle":
        from .bundle import export_bundle

        return export_bundle
    if name == "export_run":
        from .run import export_run

        return export_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
