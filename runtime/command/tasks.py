"""The kinds of images that a bundle can be asked for, whatever file they go to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..bundle.bundle import Bundle
from ..output.images import masked, to_uint8
from .options import bad_flag
from .seeds import count_of, seeds_of
from .settings import Settings

if TYPE_CHECKING:
    from ..sampler import Sampler

# All images of a picture, and all frames of an interpolation, are in memory together.
MAX_TOGETHER = 4096
# More frames only make a file larger.
MAX_DENOISING_FRAMES = 60

# A photograph and its results stand in one row while there are at most so many of them.
_ONE_ROW = 6
# So many photographs are painted at a time, for the progress bar and for memory.
_TOGETHER = 16

Flags = Mapping[str, Any]
Batches = Iterator[np.ndarray]


@dataclass(frozen=True, eq=False)
class Task:
    """Checked work: `draw` yields the images of `numbers` in order, some at a time.

    `numbers` int64 [N] name the images' files in a folder, `origin` says in words where the images
    come from, and `arrays` go into a .npz beside the images. A picture shows the images `before`,
    uint8 [height, width, channels], first. For an animation, `draw` yields one of the `frames`
    each time, which shows `images_per_frame` images.
    """

    settings: Settings
    numbers: np.ndarray
    origin: str
    arrays: Mapping[str, np.ndarray]
    draw: Callable[["Sampler", Settings, np.ndarray], Batches]
    _: KW_ONLY
    before: Sequence[np.ndarray] = ()
    one_row: bool = False
    frames: int = 0
    images_per_frame: int = 1
    there_and_back: bool = False

    def batches(self, sampler: "Sampler") -> Batches:
        """Yield images [M, height, width, channels] of the bundle's dtype."""
        return self.draw(sampler, self.settings, self.numbers)


def samples(settings: Settings, values: Flags, _: Bundle) -> Task:
    """Draw the images of the seeds."""
    seeds = seeds_of(values)
    return Task(settings, seeds, _origin(seeds), {"seeds": seeds}, _sampled)


def _sampled(sampler: "Sampler", settings: Settings, seeds: np.ndarray) -> Batches:
    return sampler.batches(seeds=seeds, **settings.arguments(seeds))


def denoising(settings: Settings, values: Flags, _: Bundle) -> Task:
    """Animate the denoising of all images together.

    There is a frame for each step, or for every second, and so on, counted back from the last.
    """
    seeds, frames = seeds_of(values), -(-settings.steps // _every(settings))
    return Task(
        settings, seeds, _origin(seeds), {}, _denoised, frames=frames, images_per_frame=len(seeds)
    )


def _denoised(sampler: "Sampler", settings: Settings, seeds: np.ndarray) -> Batches:
    for step, images in sampler.stepwise(seeds=seeds, **settings.arguments(seeds)):
        if (settings.steps - 1 - step) % _every(settings) == 0:
            yield images


def _every(settings: Settings) -> int:
    return -(-settings.steps // MAX_DENOISING_FRAMES)


def interpolation(settings: Settings, values: Flags, _: Bundle) -> Task:
    """Draw images from one seed to another: a strip, or an animation there and back."""
    count, ends = count_of(values), (int(seeds_of(values, count=1)[0]), values["interpolate_to"])
    if not 2 <= count <= MAX_TOGETHER:
        raise bad_flag("count", count, f"expected 2 to {MAX_TOGETHER} with --interpolate_to")
    return Task(
        settings,
        np.arange(count),
        "from seed {} to seed {}".format(*ends),
        {"seeds": np.array(ends, np.int64)},
        partial(_interpolated, ends),
        one_row=True,
        frames=count,
        there_and_back=True,
    )


def _interpolated(
    ends: tuple[int, int], sampler: "Sampler", settings: Settings, numbers: np.ndarray
) -> Batches:
    arguments = settings.arguments(np.full(len(numbers), ends[0]))
    yield from sampler.interpolate(*ends, len(numbers), **arguments)[:, np.newaxis]


def inpainting(settings: Settings, values: Flags, bundle: Bundle) -> Task:
    """Repaint a photograph where the mask is 1, once for each seed."""
    from .inputs import mask_of, photo_of  # only here, so that plain samples start sooner

    seeds = seeds_of(values)
    photo, mask = photo_of("inpaint", values, bundle), mask_of(values, bundle)
    shown = to_uint8(photo[np.newaxis])[0]
    return Task(
        settings,
        seeds,
        _origin(seeds),
        {"seeds": seeds, "photo": photo, "mask": mask},
        partial(_inpainted, photo, mask),
        before=(shown, masked(shown, mask)),
        one_row=len(seeds) <= _ONE_ROW,
    )


def _inpainted(
    photo: np.ndarray, mask: np.ndarray, sampler: "Sampler", settings: Settings, seeds: np.ndarray
) -> Batches:
    for start in range(0, len(seeds), _TOGETHER):
        part = seeds[start : start + _TOGETHER]
        photos = photo[np.newaxis].repeat(len(part), axis=0)
        yield sampler.inpaint(photos, mask, seeds=part, **settings.arguments(part))


def reconstruction(settings: Settings, values: Flags, bundle: Bundle) -> Task:
    """Draw a photograph as the model would."""
    from .inputs import photo_of

    photo = photo_of("reconstruct", values, bundle)
    number, draw = np.zeros(1, np.int64), partial(_reconstructed, photo)
    before = tuple(to_uint8(photo[np.newaxis]))
    return Task(settings, number, "from a photograph", {"photo": photo}, draw, before=before)


def _reconstructed(
    photo: np.ndarray, sampler: "Sampler", settings: Settings, numbers: np.ndarray
) -> Batches:
    yield sampler.reconstruct(photo[np.newaxis], **settings.arguments(numbers))


def _origin(seeds: np.ndarray) -> str:
    """Where images come from, in words: "seeds 5 to 7"."""
    if len(seeds) < 2:
        return f"seed {seeds[0]}" if len(seeds) else "no seeds"
    first, last = int(seeds[0]), int(seeds[-1])
    return f"seeds {first} {'to' if last - first + 1 == len(seeds) else '…'} {last}"


# The graphs that each kind needs, and its task; the first three kinds are flags.
KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[Settings, Flags, Bundle], Task]]] = {
    "reconstruct": (("encode", "from_noise"), reconstruction),
    "interpolate_to": (("noise", "from_noise"), interpolation),
    "inpaint": (("inpaint",), inpainting),
    "denoising": (("noise", "step"), denoising),
    "samples": (("sampler",), samples),
}
