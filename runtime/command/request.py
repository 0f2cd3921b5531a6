"""Checks the flags of `diffkiln-sample` against each other and the bundle, before any work."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..bundle.bundle import MANIFEST, Bundle
from ..errors import BundleError, UsageError
from ..limits import SEED_END
from ..output.images import CHANNELS, GAP, grid_shape
from .options import bad_flag, require_writable
from .outputs import Output
from .program import checked_steps, require_unrolled_steps
from .settings import settings_of
from .tasks import Inpainting, Interpolation, Reconstruction, Samples, Task

DEFAULT_COUNT = 16
# All images of a picture, and all frames of an interpolation, are in memory together.
MAX_TOGETHER = 4096

# A quarter of a gigabyte of pixels: more would not open in a viewer, and may not fit in memory.
MAX_PIXELS = 2**28
# The format stores width and height in 16 bits.
MAX_GIF_SIDE = 2**16 - 1

# What can be written with a flag; "" is a folder.
_ENDINGS = {
    "shard": (".npz", ""),
    "inpaint": (".png", ".npz", ""),
    "reconstruct": (".png", ".npz"),
}

Content = TypeVar("Content")

# A flag, and those that say nothing beside it.
_EXCLUDED = {
    "seeds": ("count", "seed"),
    "interpolate_to": ("inpaint", "mask", "reconstruct", "seeds", "shard"),
    "inpaint": ("reconstruct", "shard"),
    "reconstruct": ("count", "mask", "seed", "seeds", "shard"),
}


def checked_request(values: Mapping[str, Any], bundle: Bundle) -> tuple[Task, Output]:
    """Return what to make and where it goes; UsageError or BundleError if that cannot be done."""
    _require_agreement(values)
    ending = _checked_ending(values)
    _require_channels(bundle, values, ending)
    task = _checked_task(values, bundle)
    output = Output(
        path=_own_path(values, ending),
        ending=ending,
        scale=values["scale"],
        bundle=bundle,
        settings=settings_of(
            bundle,
            steps=task.steps,
            scale=values["scale"],
            choices=task.choices,
            guidance=task.guidance,
        ),
        shared=values["shard"] is not None,
    )
    _require_graphs(task, bundle, output)
    _require_moderate_size(task, output)
    return task, output


def needed_graphs(task: Task, output: Output) -> tuple[str, ...]:
    """Return the graphs that will be loaded."""
    return task.moving_graphs if output.ending == ".gif" else task.graphs


def _require_agreement(values: Mapping[str, Any]) -> None:
    for flag, others in _EXCLUDED.items():
        for other in others:
            if values[flag] is not None and values[other] is not None:
                raise UsageError(f"--{other}: says nothing beside --{flag}; leave one of them out")
    if (values["inpaint"] is None) != (values["mask"] is None):
        given, lacking = ("mask", "inpaint") if values["inpaint"] is None else ("inpaint", "mask")
        raise UsageError(f"--{given}: expected --{lacking} with it; see --help")


def _checked_ending(values: Mapping[str, Any]) -> str:
    out, ending = values["out"], values["out"].suffix.lower()
    hidden = not ending and "." in out.name and out.name != ".."  # such as ".png"
    if hidden or ending not in ("", ".png", ".gif", ".npz"):
        raise bad_flag("out", out, "expected a .png, .gif or .npz, or a folder without a dot")
    for flag, endings in _ENDINGS.items():
        if values[flag] is not None and ending not in endings:
            expected = " or ".join(ending or "a folder" for ending in endings)
            raise bad_flag("out", out, f"expected {expected} with --{flag}")
    if values["scale"] > 1 and ending == ".npz":
        raise bad_flag("scale", values["scale"], "expected 1 for a .npz; leave it out")
    shared = values["shard"] is not None
    require_writable("out", _own_path(values, ending), folder=not ending, shared=shared)
    return ending


def _own_path(values: Mapping[str, Any], ending: str) -> Path:
    """Return the path that this process writes, which for a part of a .npz is another."""
    shard = values["shard"]
    return shard.file(values["out"]) if shard is not None and ending else values["out"]


def _require_channels(bundle: Bundle, values: Mapping[str, Any], ending: str) -> None:
    photo = values["inpaint"] is not None or values["reconstruct"] is not None
    if bundle.image_shape[-1] not in CHANNELS and (photo or ending != ".npz"):
        raise BundleError(
            f"{bundle.path / MANIFEST}: images have {bundle.image_shape[-1]} channels, expected 1, "
            "3 or 4 for a picture; write a .npz for arrays"
        )


def _checked_task(values: Mapping[str, Any], bundle: Bundle) -> Task:
    task = _plain_task(values, bundle)
    for flag in ("label", "guidance"):
        if values[flag] is not None and not bundle.class_names:
            raise bad_flag(flag, values[flag], f"the model of {bundle.path} knows no classes")
    if values["label"] is None:
        return replace(task, guidance=values["guidance"])
    try:
        choices = tuple(_class_number(bundle, name) for name in values["label"])
    except ValueError as error:
        raise UsageError(f"--label: {str(error).removeprefix('labels: ')}") from error
    return replace(task, choices=choices, guidance=values["guidance"])


def _class_number(bundle: Bundle, text: str) -> int:
    """Return the class of this name or number; a name comes first, and "none" may be one."""
    from ..engine.conditioning import NO_LABEL, class_number

    if text == "none" and text not in bundle.class_names:
        return NO_LABEL
    is_number = text not in bundle.class_names and re.fullmatch("-?[0-9]{1,19}", text)
    return class_number(bundle, int(text) if is_number else text)


def _plain_task(values: Mapping[str, Any], bundle: Bundle) -> Task:
    steps = checked_steps(bundle, values["steps"])
    if values["reconstruct"] is not None:
        photo = _photo("reconstruct", values, bundle)
        return Reconstruction(np.empty(0, np.int64), steps, photo=photo)
    if values["interpolate_to"] is not None:
        ends, count = [values["seed"] or 0, values["interpolate_to"]], _count(values)
        if not 2 <= count <= MAX_TOGETHER:
            expected = f"expected 2 to {MAX_TOGETHER} with --interpolate_to"
            raise bad_flag("count", count, expected)
        return Interpolation(np.array(ends, np.int64), steps, count=count)
    seeds = _checked_seeds(values)
    if values["inpaint"] is not None:
        photo, mask = _photo("inpaint", values, bundle), _mask(values, bundle)
        return Inpainting(seeds, steps, photo=photo, mask=mask)
    return Samples(seeds if values["shard"] is None else values["shard"].part(seeds), steps)


def _checked_seeds(values: Mapping[str, Any]) -> np.ndarray:
    """Return the seeds of the whole job, int64 [N]."""
    if values["seeds"] is not None:
        return values["seeds"]
    count, seed = _count(values), values["seed"] or 0
    if seed + count > SEED_END:
        raise bad_flag("seed", seed, f"expected at most 2**63 - count, {SEED_END - count}")
    # Not arange(seed, seed + count): the end may be 2**63, one more than int64 holds.
    return np.arange(count, dtype=np.int64) + np.int64(seed)


def _count(values: Mapping[str, Any]) -> int:
    return DEFAULT_COUNT if values["count"] is None else values["count"]


def _photo(flag: str, values: Mapping[str, Any], bundle: Bundle) -> np.ndarray:
    """Return the photograph of a flag in the bundle's size and dtype."""
    from .photo import read_photo  # only here, so that plain samples start sooner

    photo = _read(flag, values[flag], lambda path: read_photo(path, bundle.image_shape))
    return photo if bundle.image_dtype == "uint8" else photo.astype(np.float32) / np.float32(255)


def _mask(values: Mapping[str, Any], bundle: Bundle) -> np.ndarray:
    """Return the mask, once it is known to lie over the photograph as the user drew it."""
    from .photo import read_mask, upright_size

    height, width, _ = bundle.image_shape
    photo_size = _read("inpaint", values["inpaint"], upright_size)
    size = _read("mask", values["mask"], upright_size)
    if size not in (photo_size, (width, height)):
        expected = " x ".join(map(str, photo_size))
        raise bad_flag(
            "mask",
            values["mask"],
            f"has {size[0]} x {size[1]} pixels, expected {expected} like the photograph, or "
            f"{width} x {height} like the bundle; resize it",
        )
    return _read("mask", values["mask"], lambda path: read_mask(path, bundle.image_shape))


def _read(flag: str, path: Path, reader: Callable[[Path], Content]) -> Content:
    try:
        return reader(path)
    except ValueError as error:
        raise bad_flag(flag, path, str(error)) from error


def _require_graphs(task: Task, bundle: Bundle, output: Output) -> None:
    """Complain of what the bundle lacks before any of its graphs is loaded."""
    graphs = needed_graphs(task, output)
    bundle.require_graphs(*graphs)
    if not {"sampler", "from_noise"}.isdisjoint(graphs):
        require_unrolled_steps(bundle, task.steps)


def _require_moderate_size(task: Task, output: Output) -> None:
    count, (height, width, _) = len(task.numbers), output.bundle.image_shape
    if output.ending in ("", ".npz"):
        return
    if count > MAX_TOGETHER:
        raise bad_flag(
            "out",
            output.path,
            f"would show {count} images, expected at most {MAX_TOGETHER}; give --out a folder",
        )
    moving = output.ending == ".gif"
    shown = task.images_per_frame if moving else count + len(task.before)
    rows, columns = grid_shape(shown, one_row=task.one_row)
    height = (rows * (height + GAP) - GAP) * output.scale
    width = (columns * (width + GAP) - GAP) * output.scale
    frames = task.frame_count if moving else 1
    if frames * height * width > MAX_PIXELS:
        raise bad_flag(
            "out",
            output.path,
            f"would have {frames} frame(s) of {width} x {height} pixels, expected at most "
            f"{MAX_PIXELS} pixels in all; lower --count, --scale or, for a .gif, --steps",
        )
    if moving and max(height, width) > MAX_GIF_SIDE:
        raise bad_flag(
            "out",
            output.path,
            f"would have {width} x {height} pixels, expected at most {MAX_GIF_SIDE} a side in a "
            ".gif; lower --count or --scale",
        )
