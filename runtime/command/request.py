"""What a command line asks for: one task, if its flags go together and fit the bundle."""

from collections.abc import Callable, Mapping

from ..bundle.bundle import MANIFEST, Bundle
from ..bundle.tasks import HOLES, KNOWN, SMALL, checked_factor, is_trained_to_paint
from ..engine.inpainting import inpainting_graph
from ..errors import BundleError, UsageError
from ..output.images import CHANNELS
from . import tasks
from .options import bad_flag
from .settings import Settings, checked_settings
from .tasks import Flags, Task

# A flag, and the flags that have no effect beside it.
_EXCLUDED = {
    "seeds": ("count", "seed"),
    "interpolate_to": ("edit", "inpaint", "mask", "reconstruct", "seeds", "shard", "upscale"),
    "inpaint": ("edit", "reconstruct", "shard", "upscale"),
    "edit": ("mask", "reconstruct", "shard", "upscale"),
    "reconstruct": ("count", "mask", "seed", "seeds", "shard", "upscale"),
    "upscale": ("mask", "shard"),
}
_OF_PICTURES = ("inpaint", "mask", "edit", "reconstruct", "upscale")
# A flag, and one that it needs.
_PARTNERS = (("mask", "inpaint"), ("inpaint", "mask"), ("strength", "edit"))

# The graphs that each kind needs, and its task; the first five kinds are flags.
KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[Settings, Flags, Bundle], Task]]] = {
    "reconstruct": (("encode", "from_noise"), tasks.reconstruction),
    "interpolate_to": (("noise", "from_noise"), tasks.interpolation),
    "inpaint": (("inpaint",), tasks.inpainting),
    "edit": (("edit",), tasks.editing),
    "upscale": (("noise", "step"), tasks.upscaling),
    "denoising": (("noise", "step"), tasks.denoising),
    "samples": (("sampler",), tasks.samples),
}


def checked_task(values: Flags, bundle: Bundle) -> Task:
    """Return the task; UsageError if the flags do not go together, or not with the bundle.

    Raises BundleError if the bundle lacks a graph that the task needs.
    """
    _require_agreement(values)
    ending = values["out"].suffix.lower()
    plain = "denoising" if ending == ".gif" else "samples"
    kind = next((kind for kind in KINDS if values.get(kind) is not None), plain)
    if bundle.draws_arrays:
        _require_arrays(values, ending)
    shown = ending != ".npz" or kind in ("inpaint", "edit", "reconstruct", "upscale")
    if shown and bundle.sample_shape[-1] not in CHANNELS:
        channels = (
            f"images have {bundle.sample_shape[-1]} channels, expected 1, 3 or 4 for a picture"
        )
        raise BundleError(f"{bundle.path / MANIFEST}: {channels}; write a .npz for arrays")
    (graphs, build), made = KINDS[kind], ()
    if kind == "upscale":
        checked_factor(bundle)  # before anything is said about conditions
        made = (SMALL,)
    elif kind == "inpaint" and is_trained_to_paint(bundle):
        graphs, made = (inpainting_graph(bundle),), (KNOWN, HOLES)
    bundle.require_graphs(*graphs)
    return build(checked_settings(values, bundle, graphs, made), values, bundle)


def _require_arrays(values: Flags, ending: str) -> None:
    """UsageError for what is made of pictures: the bundle draws arrays that are none."""
    if ending != ".npz":
        raise bad_flag("out", values["out"], "expected a .npz, for the bundle draws arrays")
    for flag in _OF_PICTURES:
        if (value := values[flag]) is not None:
            problem = "takes a picture, and the bundle draws arrays; use diffkiln.runtime.Sampler"
            raise bad_flag(flag, value, problem)


def _require_agreement(values: Flags) -> None:
    for flag, others in _EXCLUDED.items():
        for other in others:
            if values[flag] is not None and values[other] is not None:
                raise UsageError(f"--{other}: has no effect beside --{flag}; leave one of them out")
    for flag, partner in _PARTNERS:
        if values[flag] is not None and values[partner] is None:
            raise UsageError(f"--{flag}: expected --{partner} with it; see --help")
