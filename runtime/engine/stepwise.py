"""Sampling step by step: noise.onnx once, then step.onnx for each step.

All mathematics is in the graphs. The tensors that one step hands to the next stay in the GPU's
memory, and only their order says which is which.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ..background import require_wanted
from ..bundle.bundle import Bundle
from ..bundle.conditions import SMALL
from .batching import TOGETHER
from .conditioning import Feeds, scalar
from .engine import Engine, count_of, part
from .session import Session

Progress = Callable[[int, int], object]


def stepwise(
    engine: Engine, feeds: Feeds, cancel: threading.Event | None = None
) -> Iterator[np.ndarray]:
    """Yield all images after each step, which their batches take one after the other.

    `feeds` are the inputs of sampler.onnx, or of from_noise.onnx: there seeds are only for further
    noise. Once `cancel` is set, the next step is a CancelledError.
    """
    batches = [_images(engine, part(feeds, rows), cancel) for rows in _batches(engine, feeds)]
    return map(np.concatenate, zip(*batches, strict=True))


def stepwise_batches(
    engine: Engine,
    feeds: Feeds,
    progress: Progress | None,
    cancel: threading.Event | None = None,
) -> Iterator[np.ndarray]:
    """Yield the finished images, one batch at a time, for inputs as in `stepwise`.

    progress(done, total) is called after each step of each batch, and after none of a second stage.
    """
    batches, steps = _batches(engine, feeds), int(feeds["steps"])
    for number, rows in enumerate(batches):
        batch = part(feeds, rows)
        for step, result in enumerate(_steps(engine, batch, cancel), 1):
            if progress is not None:
                progress(number * steps + step, len(batches) * steps)
            if step == steps:
                yield _finished(engine, batch, result, cancel)


def _batches(engine: Engine, feeds: Feeds) -> list[np.ndarray]:
    """Return the rows of each batch."""
    rows, size = np.arange(count_of(feeds)), engine.settings.max_batch or TOGETHER
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _images(engine: Engine, feeds: Feeds, cancel: threading.Event | None) -> Iterator[np.ndarray]:
    """Yield the images of one batch after each step; only the last ones are of a second stage."""
    steps = int(feeds["steps"])
    for step, result in enumerate(_steps(engine, feeds, cancel), 1):
        if engine.bundle.factor > 1 and step < steps:
            yield _preview(engine.bundle, result)
        else:
            yield _finished(engine, feeds, result, cancel)


def _finished(
    engine: Engine, feeds: Feeds, result: np.ndarray, cancel: threading.Event | None
) -> np.ndarray:
    """The images of a step's result: what a decoder or a second stage makes of it, if any."""
    if engine.bundle.factor > 1:
        inputs = engine.bundle.graph("upscaler").signature.inputs
        given = {**feeds, SMALL: result}
        way = partial(Session.run_long, cancel=cancel)
        return engine.run("upscaler", {port.name: given[port.name] for port in inputs}, way)[0]
    if engine.bundle.latent_shape is not None:
        return engine.run("decoder", {"latents": result})[0]
    return result


def _preview(bundle: Bundle, pixels: np.ndarray) -> np.ndarray:
    """Small pictures of floats in [0, 1] as images of the bundle: each pixel becomes a square."""
    images = pixels.repeat(bundle.factor, axis=1).repeat(bundle.factor, axis=2)
    return np.rint(255 * images).astype(np.uint8) if bundle.sample_dtype == "uint8" else images


def _steps(
    engine: Engine, feeds: Feeds, cancel: threading.Event | None = None
) -> Iterator[np.ndarray]:
    """Yield the images of one batch after each step, or their latents or small pictures."""
    noise = feeds.get("noise")
    if noise is None:
        (noise,) = engine.run("noise", {"seeds": feeds["seeds"]})
    inputs = {**feeds, "noisy": noise}
    names = engine.session("step").inputs[1:]
    # In the graph's order. A solver's memory of earlier steps begins with zeros.
    state = {name: inputs.get(name, np.zeros_like(noise)) for name in names}
    carried = engine.bundle.carried()
    for step in range(int(feeds["steps"])):
        require_wanted(cancel)
        *values, images = engine.run("step", {"step": scalar(step), **state}, Session.run_kept)
        state |= dict(zip(carried, values, strict=True))
        yield images
