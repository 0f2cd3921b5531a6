"""Writes the images of a task as a picture, an animation, arrays or a folder."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..background import Background
from ..bundle.bundle import Bundle
from ..output.folder import fill_folder, missing, open_folder, was_begun
from ..output.gif import save_gif
from ..output.images import (
    GAP,
    PICTURES,
    enlarge,
    grid,
    grid_shape,
    import_pillow,
    save_picture,
    to_uint8,
)
from .options import bad_flag, require_writable
from .progress import progress
from .tasks import MAX_TOGETHER, Task

if TYPE_CHECKING:
    from ..sampler import Sampler

# A quarter of a gigabyte of pixels: more would not open in a viewer, and may not fit in memory.
MAX_PIXELS = 2**28
# GIF stores width and height in 16 bits, WebP in 14, and libjpeg writes no more than this.
MAX_SIDES = {".gif": 2**16 - 1, ".webp": 2**14 - 1, ".jpg": 65_500, ".jpeg": 65_500}

# The endings that go with a flag; "" is a folder.
_ENDINGS = {
    "shard": (".npz", ""),
    "inpaint": (*PICTURES, ".npz", ""),
    "reconstruct": (*PICTURES, ".npz"),
    "upscale": (*PICTURES, ".npz", ""),
}


class Output(NamedTuple):
    """Where a task's images go; `ending` is one of a picture, ".gif", ".npz" or "" for a folder.

    `sample_shape` is (height, width, channels) of each, and `sample_dtype` "uint8" or "float32".
    `name` is the main array of a .npz: "images", or "samples" for arrays that are no pictures.
    `settings` determine the images besides their numbers. What a `continued` output holds already
    is not made again: a folder, and the part of a job that has a .npz of its own.
    """

    path: Path
    ending: str
    scale: int
    name: str
    sample_shape: tuple[int, ...]
    sample_dtype: str
    settings: Mapping[str, Any]
    continued: bool


def checked_output(values: Mapping[str, Any], bundle: Bundle, task: Task) -> Output:
    """Return where the task's images go; UsageError if they cannot go there."""
    out, scale, shard = values["out"], values["scale"], values["shard"]
    ending = out.suffix.lower()
    hidden = not ending and "." in out.name and out.name != ".."  # such as ".png"
    if hidden or ending not in _WRITERS:
        expected = "a .png, .webp, .jpg, .gif or .npz, or a folder without a dot"
        raise bad_flag("out", out, f"expected {expected}")
    for flag, endings in _ENDINGS.items():
        if values[flag] is not None and ending not in endings:
            *more, last = (ending or "a folder" for ending in endings)
            raise bad_flag("out", out, f"expected {', '.join(more)} or {last} with --{flag}")
    if scale > 1 and ending == ".npz":
        raise bad_flag("scale", scale, "expected 1 for a .npz; leave it out")
    path = shard.file(out) if shard is not None and ending else out
    require_writable("out", path, folder=not ending)
    record = {**task.settings.record(bundle, scale), **task.record}
    if not ending:
        with _errors_of(path):
            was_begun(path, record)
    image = task.sample_shape or bundle.sample_shape, bundle.sample_dtype
    output = Output(
        path, ending, scale, bundle.samples, *image, record, not ending or shard is not None
    )
    if ending not in (".npz", "") and (problem := _problem_with_size(task, output)):
        raise bad_flag("out", path, problem)
    return output


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turn the ValueError for what an output holds already into a UsageError for --out."""
    try:
        yield
    except ValueError as error:
        raise bad_flag("out", path, str(error)) from error


def _problem_with_size(task: Task, output: Output) -> str | None:
    """What is wrong with a picture or an animation of more pixels than viewers and files allow."""
    count, (height, width, *_) = len(task.numbers), output.sample_shape
    moving = output.ending == ".gif"
    if count > MAX_TOGETHER:
        return f"would show {count} images, expected at most {MAX_TOGETHER}; give --out a folder"
    shown = task.images_per_frame if moving else count + len(task.before)
    rows, columns = grid_shape(shown, one_row=task.one_row)
    height = (rows * (height + GAP) - GAP) * output.scale
    width = (columns * (width + GAP) - GAP) * output.scale
    frames = task.frames if moving else 1
    size = f"{width} x {height} pixels, expected at most"
    if frames * height * width > MAX_PIXELS:
        remedy = "lower --count, --scale or, for a .gif, --steps"
        return f"would have {frames} frame(s) of {size} {MAX_PIXELS} pixels in all; {remedy}"
    side = MAX_SIDES.get(output.ending)
    if side is not None and max(height, width) > side:
        remedy = "lower --count or --scale, or write a .png"
        return f"would have {size} {side} a side in a {output.ending}; {remedy}"
    return None


def write(task: Task, output: Output, sampler: "Sampler") -> int:
    """Make the images, write each file whole or not at all, and return how many were made.

    Raises UsageError if a continued output was begun with other settings.
    """
    if output.continued:
        with _errors_of(output.path):
            unfinished = _unfinished(task, output)
        if unfinished is None:
            return 0
        task = replace(task, numbers=unfinished)
    count, moving = len(task.numbers), output.ending == ".gif"
    if count and output.ending != ".npz":
        Background(import_pillow).start()  # while the first graph is loaded
    total, unit = (task.frames, "frames") if moving else (count, "images")
    with progress(total, unit) as advance:

        def reported() -> Iterator[np.ndarray]:
            for batch in task.draw(sampler, task.numbers) if count else ():
                yield batch
                advance(1 if moving else len(batch))

        _WRITERS[output.ending](task, output, reported())
    return count


def _unfinished(task: Task, output: Output) -> np.ndarray | None:
    """Return the numbers of the images that are still to be made, None if a file is finished."""
    if output.ending == "":
        return missing(output.path, task.numbers)
    from ..output.npz import is_finished  # only here, so that pictures start sooner

    return None if is_finished(output.path, output.settings, task.numbers) else task.numbers


def _picture(task: Task, images: np.ndarray) -> np.ndarray:
    """Lay images out as one picture uint8 [height, width, channels]: one, a grid or a strip."""
    return to_uint8(images)[0] if len(images) == 1 else grid(images, one_row=task.one_row)


def _write_picture(task: Task, output: Output, batches: Iterator[np.ndarray]) -> None:
    drawn = (to_uint8(batch) for batch in batches)
    images = np.concatenate([*(image[np.newaxis] for image in task.before), *drawn])
    save_picture(output.path, enlarge(_picture(task, images)[np.newaxis], output.scale)[0])


def _write_gif(task: Task, output: Output, batches: Iterator[np.ndarray]) -> None:
    frames = (_picture(task, images) for images in batches)
    save_gif(output.path, frames, scale=output.scale, there_and_back=task.there_and_back)


def _write_arrays(task: Task, output: Output, batches: Iterator[np.ndarray]) -> None:
    from ..output.npz import save_arrays

    shape, dtype = (len(task.numbers), *output.sample_shape), output.sample_dtype
    others = {**task.arrays, "settings": np.array(json.dumps(output.settings))}
    about: Any = {"shape": shape, "dtype": dtype, "others": others, "named": output.continued}
    save_arrays(output.path, output.name, batches, **about)


def _write_folder(task: Task, output: Output, batches: Iterator[np.ndarray]) -> None:
    begun = False

    def enlarged() -> Iterator[np.ndarray]:
        nonlocal begun
        for batch in batches:
            if not begun:  # only now, so that a bundle that cannot be run leaves no folder
                with _errors_of(output.path):
                    open_folder(output.path, output.settings)
                begun = True
            yield enlarge(batch, output.scale)

    try:
        fill_folder(output.path, enlarged(), task.numbers)
    except BaseException as error:
        if begun:
            error.add_note("run the same command again to continue")
        raise


_WRITERS = {
    **dict.fromkeys(PICTURES, _write_picture),
    ".gif": _write_gif,
    ".npz": _write_arrays,
    "": _write_folder,
}
