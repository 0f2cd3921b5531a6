"""Sampling step by step: noise.onnx once, then step.onnx for each step.

All mathematics is in the graphs. The tensors that one step hands to the next stay in the GPU's
memory, and only their order says which is which.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ..background import require_wanted
from .batching import TOGETHER
from .conditioning import Feeds, scalar
from .engine import Engine, count_of, part
from .session import Session

Progress = Callable[[int, int], object]


def stepwise(
    engine: Engine, feeds: Feeds, cancel: threading.Event | None = None
) -> Iterator[np.ndarray]:
    """Yield all images after each step, which their batches take one after the other.

    `feeds` are the inputs of sampler.onnx, or of from_noise.onnx: there seeds are only for fresh
    noise. Once `cancel` is set, the next step is a CancelledError.
    """
    batches = [_steps(engine, part(feeds, rows), cancel) for rows in _batches(engine, feeds)]
    return (
        np.concatenate(list(map(partial(_decoded, engine), each)))
        for each in zip(*batches, strict=True)
    )


def stepwise_batches(
    engine: Engine,
    feeds: Feeds,
    progress: Progress | None,
    cancel: threading.Event | None = None,
) -> Iterator[np.ndarray]:
    """Yield the finished images, one batch at a time, for inputs as in `stepwise`.

    progress(done, total) is called after each step of each batch.
    """
    batches, steps = _batches(engine, feeds), int(feeds["steps"])
    for number, rows in enumerate(batches):
        for step, images in enumerate(_steps(engine, part(feeds, rows), cancel), 1):
            if progress is not None:
                progress(number * steps + step, len(batches) * steps)
            if step == steps:
                yield _decoded(engine, images)


def _batches(engine: Engine, feeds: Feeds) -> list[np.ndarray]:
    """Return the rows of each batch."""
    rows, size = np.arange(count_of(feeds)), engine.settings.max_batch or TOGETHER
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _decoded(engine: Engine, result: np.ndarray) -> np.ndarray:
    """The images of a step's result: those of its latents, where it makes latents."""
    if engine.bundle.latent_shape is None:
        return result
    (images,) = engine.run("decoder", {"latents": result})
    return images


def _steps(
    engine: Engine, feeds: Feeds, cancel: threading.Event | None = None
) -> Iterator[np.ndarray]:
    """Yield the images of one batch after each step, or their latents."""
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
