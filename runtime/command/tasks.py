"""The kinds of images that a bundle can be asked for, whatever file they go to."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundle.bundle import Bundle
from ..bundle.tasks import checked_factor
from ..engine.arguments import start_of
from ..limits import MAX_UPSCALED_PIXELS
from ..output.images import masked, to_uint8
from .options import bad_flag, flag_errors
from .seeds import count_of, seeds_of
from .settings import Settings

if TYPE_CHECKING:
    from ..sampler import Sampler

# All images of a picture, and all frames of an interpolation, are in memory together.
MAX_TOGETHER = 4096
# More frames only make a file larger.
MAX_DENOISING_FRAMES = 60

# How much of the steps an edit takes.
_STRENGTH = 0.6

# A photograph and its results stand in one row while there are at most so many of them.
_ONE_ROW = 6
# So many photographs are painted at a time, for the progress bar and for memory.
_TOGETHER = 16

Flags = Mapping[str, Any]
Batches = Iterator[np.ndarray]


@dataclass(frozen=True, eq=False)
class Task:
    """Checked work: `draw` yields the images [M, height, width, channels] of `numbers` in order.

    `numbers` int64 [N] name the images' files in a folder, `origin` says in words where they come
    from, and `arrays` go into a .npz beside them. `record` is what determines the images besides
    the settings and their numbers, as JSON has it. A picture shows the images `before`, uint8
    [height, width, channels], first. Images have `sample_shape`, by default the bundle's. For an
    animation, `draw` yields one of the `frames` each time, which shows `images_per_frame` images.
    """

    settings: Settings
    numbers: np.ndarray
    origin: str
    arrays: Mapping[str, np.ndarray]
    draw: Callable[["Sampler", np.ndarray], Batches]
    _: KW_ONLY
    record: Mapping[str, Any] = field(default_factory=dict)
    before: Sequence[np.ndarray] = ()
    one_row: bool = False
    frames: int = 0
    images_per_frame: int = 1
    there_and_back: bool = False
    sample_shape: tuple[int, ...] | None = None


def samples(settings: Settings, values: Flags, _: Bundle) -> Task:
    """Draw the images of the seeds."""

    def draw(sampler: "Sampler", seeds: np.ndarray) -> Batches:
        return sampler.batches(seeds=seeds, **settings.arguments(seeds))

    seeds = seeds_of(values)
    return Task(settings, seeds, _origin(seeds), {"seeds": seeds}, draw)


def denoising(settings: Settings, values: Flags, _: Bundle) -> Task:
    """Animate the denoising of all images together.

    There is a frame for each step, or for every second, and so on, counted back from the last.
    """
    every = -(-settings.steps // MAX_DENOISING_FRAMES)
    seeds, frames = seeds_of(values), -(-settings.steps // every)

    def draw(sampler: "Sampler", seeds: np.ndarray) -> Batches:
        for step, images in sampler.stepwise(seeds=seeds, **settings.arguments(seeds)):
            if (settings.steps - 1 - step) % every == 0:
                yield images

    shown = len(seeds)
    return Task(settings, seeds, _origin(seeds), {}, draw, frames=frames, images_per_frame=shown)


def interpolation(settings: Settings, values: Flags, _: Bundle) -> Task:
    """Draw images from one seed to another: a strip, or an animation there and back."""
    count, ends = count_of(values), (int(seeds_of(values, count=1)[0]), values["interpolate_to"])
    if not 2 <= count <= MAX_TOGETHER:
        raise bad_flag("count", count, f"expected 2 to {MAX_TOGETHER} with --interpolate_to")

    def draw(sampler: "Sampler", numbers: np.ndarray) -> Batches:
        arguments = settings.arguments(np.full(count, ends[0]), np.arange(count))
        yield from sampler.interpolate(*ends, count, **arguments)[numbers][:, np.newaxis]

    origin, arrays = "from seed {} to seed {}".format(*ends), {"seeds": np.array(ends, np.int64)}
    record = {"interpolation": list(ends), "count": count}
    shown: Any = {"one_row": True, "frames": count, "there_and_back": True, "record": record}
    return Task(settings, np.arange(count), origin, arrays, draw, **shown)


def inpainting(settings: Settings, values: Flags, bundle: Bundle) -> Task:
    """Repaint a photograph where the mask is 1, once for each seed."""
    from .photo import mask_of, photo_of  # only here, so that plain samples start sooner

    seeds = seeds_of(values)
    photo, mask = photo_of("inpaint", values, bundle), mask_of(values, bundle)
    plain = to_uint8(photo[np.newaxis])[0]
    before, one_row = (plain, masked(plain, mask)), len(seeds) <= _ONE_ROW
    arrays = {"seeds": seeds, "photo": photo, "mask": mask}

    def draw(sampler: "Sampler", seeds: np.ndarray) -> Batches:
        for start in range(0, len(seeds), _TOGETHER):
            part = seeds[start : start + _TOGETHER]
            photos = photo[np.newaxis].repeat(len(part), axis=0)
            yield sampler.inpaint(photos, mask, seeds=part, **settings.arguments(part))

    record = {"photo_sha256": _sha256(photo), "mask_sha256": _sha256(mask)}
    shown: Any = {"before": before, "one_row": one_row, "record": record}
    return Task(settings, seeds, _origin(seeds), arrays, draw, **shown)


def editing(settings: Settings, values: Flags, bundle: Bundle) -> Task:
    """Redraw a photograph, once for each seed."""
    from .photo import photo_of

    strength = _STRENGTH if values["strength"] is None else values["strength"]
    with flag_errors():
        start_of(strength, settings.steps)
    seeds, photo = seeds_of(values), photo_of("edit", values, bundle)

    def draw(sampler: "Sampler", seeds: np.ndarray) -> Batches:
        for start in range(0, len(seeds), _TOGETHER):
            part = seeds[start : start + _TOGETHER]
            photos = photo[np.newaxis].repeat(len(part), axis=0)
            yield sampler.edit(photos, strength, seeds=part, **settings.arguments(part))

    record = {"photo_sha256": _sha256(photo), "strength": strength}
    before, one_row = tuple(to_uint8(photo[np.newaxis])), len(seeds) <= _ONE_ROW
    shown: Any = {"before": before, "one_row": one_row, "record": record}
    return Task(settings, seeds, _origin(seeds), {"seeds": seeds, "photo": photo}, draw, **shown)


def reconstruction(settings: Settings, values: Flags, bundle: Bundle) -> Task:
    """Draw a photograph as the model would."""
    from .photo import photo_of

    photo = photo_of("reconstruct", values, bundle)

    def draw(sampler: "Sampler", numbers: np.ndarray) -> Batches:
        yield sampler.reconstruct(photo[np.newaxis], **settings.arguments(numbers))

    number, before = np.zeros(1, np.int64), tuple(to_uint8(photo[np.newaxis]))
    return Task(settings, number, "from a photograph", {"photo": photo}, draw, before=before)


def upscaling(settings: Settings, values: Flags, bundle: Bundle) -> Task:
    """Enlarge a picture of any size, once for each seed."""
    from .photo import small_photo_of
    from .progress import progress_of

    factor, seeds = checked_factor(bundle), seeds_of(values)
    photo = small_photo_of("upscale", values, bundle, MAX_UPSCALED_PIXELS // factor**2)
    height, width, channels = photo.shape
    shape = (height * factor, width * factor, channels)
    # As many pixels as so many images have.
    together = max(1, _TOGETHER * math.prod(bundle.sample_shape) // math.prod(shape))

    def draw(sampler: "Sampler", seeds: np.ndarray) -> Batches:
        for start in range(0, len(seeds), together):
            part = seeds[start : start + together]
            photos = photo[np.newaxis].repeat(len(part), axis=0)
            with progress_of("batches of tiles") as report:
                arguments = {"progress": report, **settings.arguments(part)}
                images = sampler.upscale(photos, seeds=part, **arguments)
            yield images

    arrays, record = {"seeds": seeds, "photo": photo}, {"photo_sha256": _sha256(photo)}
    return Task(settings, seeds, _origin(seeds), arrays, draw, record=record, sample_shape=shape)


def _sha256(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def _origin(seeds: np.ndarray) -> str:
    """Where images come from, in words: "seeds 5 to 7"."""
    if len(seeds) < 2:
        return f"seed {seeds[0]}" if len(seeds) else "no seeds"
    first, last = int(seeds[0]), int(seeds[-1])
    return f"seeds {first} {'to' if last - first + 1 == len(seeds) else '…'} {last}"
