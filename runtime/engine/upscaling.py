"""Enlarges pictures of any size with a super-resolution network, tile by tile.

All tiles of a picture take a step before any takes the next one (MultiDiffusion, see tiles.py).
In memory are the picture's canvases, one for each tensor that a step hands to the next, and one
batch of tiles.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..bundle.bundle import Bundle
from ..bundle.tasks import SMALL, checked_factor, upscaling_factor
from ..limits import MAX_COUNT, MAX_UPSCALED_PIXELS
from .arguments import as_array
from .batching import TOGETHER
from .conditioning import Feeds, scalar
from .engine import Engine, part
from .field import noise_field
from .session import Session
from .stepwise import Progress
from .tiles import Place, Tiles, side


def checked_small(bundle: Bundle, images: Any) -> np.ndarray:
    """Return pictures uint8 [N, height, width, channels] of any size that can be enlarged.

    Raises BundleError unless the bundle enlarges pictures, and ValueError for other arrays.
    """
    factor, channels = checked_factor(bundle), bundle.sample_shape[-1]
    array = as_array("images", images)
    shape = list(array.shape)
    if array.ndim != 4 or shape[3] != channels or 0 in shape or shape[0] > MAX_COUNT:
        raise ValueError(f"images of shape {shape}: expected [N, height, width, {channels}]")
    if array.dtype != np.uint8:
        raise ValueError(f"images of dtype {array.dtype}: expected uint8")
    if shape[1] * shape[2] > (most := MAX_UPSCALED_PIXELS // factor**2):
        expected = f"expected at most {most} pixels each, to be enlarged {factor} times"
        raise ValueError(f"images of shape {shape}: {expected}; cut them into parts")
    return array


def upscaling_conditions(bundle: Bundle) -> dict[str, np.ndarray]:
    """Return a black picture for all images, in whose place each tile gets its own part."""
    (small,) = (each for each in bundle.conditions if each.name == SMALL)
    return {SMALL: small.example()}


def upscaled(
    engine: Engine,
    small: np.ndarray,
    feeds: Feeds,
    progress: Progress | None,
    cancel: threading.Event | None,
) -> np.ndarray:
    """Return checked pictures [N, a, b, channels] as [N, a·factor, b·factor, channels].

    `feeds` are the inputs of sampler.onnx, with any low_resolution. progress(done, total) is called
    after each batch of tiles.
    """
    factor, (height, width, channels) = upscaling_factor(engine.bundle), engine.bundle.sample_shape
    count, a, b, _ = small.shape
    small = _at_least(small, height // factor, width // factor)
    tall, wide = (length * factor for length in small.shape[1:3])
    tiles = Tiles(side(tall, height, factor), side(wide, width, factor))
    size = engine.settings.max_batch or TOGETHER
    together = max(1, size // len(tiles))
    groups = [np.arange(count)[first : first + together] for first in range(0, count, together)]
    steps = int(feeds["steps"])
    advance = _counter(progress, steps * sum(-(-len(g) * len(tiles) // size) for g in groups))
    images = np.empty((count, a * factor, b * factor, channels), engine.bundle.sample_dtype)
    for group in groups:
        work = _Tiled(engine, tiles, small[group], part(feeds, group), size, cancel)
        images[group] = work.images(advance)[:, : a * factor, : b * factor]
    return images


def _at_least(small: np.ndarray, height: int, width: int) -> np.ndarray:
    """Continue pictures that are smaller than a tile, below and to the right, by mirroring them."""
    missing = (max(0, height - small.shape[1]), max(0, width - small.shape[2]))
    return np.pad(small, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), "symmetric")


def _counter(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return advance


class _Tiled:
    """Pictures that are denoised together: one, or several that have a batch of tiles."""

    def __init__(
        self,
        engine: Engine,
        tiles: Tiles,
        small: np.ndarray,
        feeds: Feeds,
        size: int,
        cancel: threading.Event | None,
    ) -> None:
        self._engine, self._tiles, self._small, self._feeds = engine, tiles, small, feeds
        self._factor = upscaling_factor(engine.bundle)
        self._carried = engine.bundle.carried()
        self._cancel = cancel
        places = [(image, tile) for image in range(len(small)) for tile in range(len(tiles))]
        self._batches = [places[first : first + size] for first in range(0, len(places), size)]

    def images(self, advance: Callable[[], None]) -> np.ndarray:
        """Take all steps, and return the images in the bundle's dtype."""
        state = self._first()
        *earlier, last = range(int(self._feeds["steps"]))
        for step in earlier:
            state = self._means(step, state, self._carried, advance)
        mean = self._means(last, state, ["images"], advance)["images"]
        if self._engine.bundle.sample_dtype == "uint8":
            return np.rint(mean).astype(np.uint8)
        return np.clip(mean, 0, 1)

    def _first(self) -> dict[str, np.ndarray]:
        """Return the canvases of the first step: noise, and zeros for what a solver remembers."""
        tall, wide = (length * self._factor for length in self._small.shape[1:3])
        seeds = self._feeds["seeds"].tolist()
        fields = [noise_field(self._engine, seed, tall, wide, self._cancel) for seed in seeds]
        noise = np.stack(fields)
        return {each: np.zeros_like(noise) for each in self._carried} | {"noisy": noise}

    def _means(
        self,
        step: int,
        state: Mapping[str, np.ndarray],
        names: list[str],
        advance: Callable[[], None],
    ) -> dict[str, np.ndarray]:
        """Return the weighted means of what all tiles say of some outputs of a step."""
        sums = {name: np.zeros_like(state["noisy"]) for name in names}
        for places, outputs in self._outputs(step, state):
            for name in names:
                self._tiles.add(sums[name], places, outputs[name])
            advance()
        return sums

    def _outputs(
        self, step: int, state: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[list[Place], dict[str, np.ndarray]]]:
        """Yield places and their outputs by name, one batch at a time."""
        for places in self._batches:
            rows = part(self._feeds, np.array([image for image, _ in places]))
            del rows["seeds"]
            cut = {name: self._tiles.cut(canvas, places) for name, canvas in state.items()}
            cut[SMALL] = self._tiles.cut(self._small, places, self._factor)
            feeds = {"step": scalar(step), **rows, **cut}
            way = partial(Session.run_long, cancel=self._cancel)
            outputs = self._engine.run("step", feeds, way)
            yield places, dict(zip((*self._carried, "images"), outputs, strict=True))
