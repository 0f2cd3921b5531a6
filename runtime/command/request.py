"""Builds the task that the flags of `diffkiln-sample` ask for, before any graph is loaded."""

from collections.abc import Mapping
from typing import Any

from ..bundle.bundle import MANIFEST, Bundle
from ..errors import BundleError, UsageError
from ..output.images import CHANNELS
from .settings import checked_settings
from .tasks import KINDS, Task

# A flag, and the flags that have no effect beside it.
_EXCLUDED = {
    "seeds": ("count", "seed"),
    "interpolate_to": ("inpaint", "mask", "reconstruct", "seeds", "shard"),
    "inpaint": ("reconstruct", "shard"),
    "reconstruct": ("count", "mask", "seed", "seeds", "shard"),
}


def checked_task(values: Mapping[str, Any], bundle: Bundle) -> Task:
    """Return the task; UsageError if the flags do not go together, or not with the bundle.

    Raises BundleError if the bundle lacks a graph that the task needs.
    """
    _require_agreement(values)
    ending = values["out"].suffix.lower()
    plain = "denoising" if ending == ".gif" else "samples"
    kind = next((kind for kind in KINDS if values.get(kind) is not None), plain)
    shown = ending != ".npz" or kind in ("inpaint", "reconstruct")
    if shown and bundle.image_shape[-1] not in CHANNELS:
        raise BundleError(
            f"{bundle.path / MANIFEST}: images have {bundle.image_shape[-1]} channels, expected 1, "
            "3 or 4 for a picture; write a .npz for arrays"
        )
    graphs, build = KINDS[kind]
    bundle.require_graphs(*graphs)
    return build(checked_settings(values, bundle, graphs), values, bundle)


def _require_agreement(values: Mapping[str, Any]) -> None:
    for flag, others in _EXCLUDED.items():
        for other in others:
            if values[flag] is not None and values[other] is not None:
                raise UsageError(f"--{other}: has no effect beside --{flag}; leave one of them out")
    for flag, partner in (("mask", "inpaint"), ("inpaint", "mask")):
        if values[flag] is not None and values[partner] is None:
            raise UsageError(f"--{flag}: expected --{partner} with it; see --help")
