"""Writes the images of a task as a picture, an animation, arrays or a folder."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..background import Background
from ..bundle.bundle import Bundle
from ..output.folder import fill_folder, missing, open_folder, save_folder
from ..output.gif import save_gif
from ..output.images import enlarge, grid, import_pillow, save_png, to_uint8
from .progress import progress
from .tasks import Task

if TYPE_CHECKING:
    from ..sampler import Sampler


class Output(NamedTuple):
    """Where a task's images go; `ending` is ".png", ".gif", ".npz" or "" for a folder.

    `settings` are what images of `bundle` follow from beside their seeds. A `shared` output is one
    part of a job: what is finished of it is not made again.
    """

    path: Path
    ending: str
    scale: int
    bundle: Bundle
    settings: Mapping[str, Any]
    shared: bool = False


def write(task: Task, output: Output, sampler: "Sampler") -> int:
    """Make the images, write each file whole or not at all, and return how many were made.

    Raises UsageError if a shared output was begun with other settings.
    """
    if output.shared and output.ending == "":
        open_folder(output.path, output.settings)
        task = dataclasses.replace(task, seeds=missing(output.path, task.seeds))
    elif output.shared and _arrays_are_there(task, output):
        return 0
    moving, count = output.ending == ".gif", len(task.numbers)
    total, unit = (task.frame_count, "frames") if moving else (count, "images")
    if count and output.ending != ".npz":
        Background(import_pillow).start()  # while the first graph is loaded
    with progress(total, unit) as advance:
        made = _made(task, sampler, moving) if count else iter(())
        _WRITERS[output.ending](task, output, _told(made, moving, advance))
    return count


def laid_out(task: Task, images: np.ndarray, scale: int) -> np.ndarray:
    """One picture uint8 [height, width, channels]: an image, a grid or a strip."""
    picture = to_uint8(images)[0] if len(images) == 1 else grid(images, one_row=task.one_row)
    return enlarge(picture[np.newaxis], scale)[0]


def _made(task: Task, sampler: "Sampler", moving: bool) -> Iterator[np.ndarray]:
    return task.frames(sampler) if moving else task.batches(sampler)


def _told(
    batches: Iterator[np.ndarray], moving: bool, advance: Callable[[int], None]
) -> Iterator[np.ndarray]:
    """Yield the batches, and tell of each when it has been taken care of."""
    for batch in batches:
        yield batch
        advance(1 if moving else len(batch))


def _write_png(task: Task, output: Output, batches: Iterator[np.ndarray]) -> None:
    made = (to_uint8(batch) for batch in batches)
    images = np.concatenate([*(image[np.newaxis] for image in task.before), *made])
    save_png(output.path, laid_out(task, images, output.scale))


def _write_gif(task: Task, output: Output, batches: Iterator[np.ndarray]) -> None:
    frames = (laid_out(task, images, 1) for images in batches)
    save_gif(output.path, frames, scale=output.scale, there_and_back=task.there_and_back)


def _arrays_are_there(task: Task, output: Output) -> bool:
    from ..output.npz import is_finished  # only here, so that pictures start sooner

    return is_finished(output.path, output.settings, task.seeds)


def _write_arrays(task: Task, output: Output, batches: Iterator[np.ndarray]) -> None:
    from ..output.npz import save_arrays

    arrays = {**task.arrays, "settings": np.array(json.dumps(output.settings))}
    save_arrays(
        output.path,
        batches,
        shape=(len(task.numbers), *output.bundle.image_shape),
        dtype=output.bundle.image_dtype,
        others=arrays,
        named=output.shared,
    )


def _write_folder(task: Task, output: Output, batches: Iterator[np.ndarray]) -> None:
    enlarged = (enlarge(batch, output.scale) for batch in batches)
    if output.shared:
        with _to_be_continued():
            fill_folder(output.path, enlarged, task.numbers)
    else:
        save_folder(output.path, enlarged, task.numbers)


@contextlib.contextmanager
def _to_be_continued() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note("the same command goes on from here")
        raise


_WRITERS = {".png": _write_png, ".gif": _write_gif, ".npz": _write_arrays, "": _write_folder}
