"""Sampling step by step: noise.onnx once, then step.onnx for each step.

All mathematics is in the graphs. The tensors that one step hands to the next stay in the GPU's
memory, and only their order says which is which.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from .conditioning import Rows
from .engine import Engine, scalar

Progress = Callable[[int, int], object]


def stepwise(
    engine: Engine, rows: Rows, steps: int, numbers: Mapping[str, float]
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (step, images) after each step 0 … steps - 1 of one batch.

    `rows` holds "seeds" int64 [N], "noise" float32 [N, H, W, C], or both: then the seeds are only
    for fresh noise. It also holds the step's other inputs with a row for each image; `numbers`
    holds its scalars.
    """
    noise = rows.get("noise")
    if noise is None:
        noise = engine.run("noise", {"seeds": rows["seeds"]})[0]
    scalars = {name: scalar(number) for name, number in {"steps": steps, **numbers}.items()}
    inputs = {**rows, **scalars, "noisy": noise}
    # In the graph's order. A solver's memory of earlier steps begins with zeros.
    state = {name: inputs.get(name, np.zeros_like(noise)) for name in engine.inputs("step")[1:]}
    carried = [name for name in state if name not in scalars and name != "labels"]
    for step in range(steps):
        values, images = engine.run_kept("step", {"step": scalar(step), **state})
        state |= dict(zip(carried, values, strict=True))
        yield step, images


def stepwise_batches(
    engine: Engine,
    rows: Rows,
    steps: int,
    numbers: Mapping[str, float],
    *,
    size: int,
    progress: Progress | None = None,
) -> Iterator[np.ndarray]:
    """Yield the finished images, at most `size` at a time.

    progress(done, total) is called after each step of each batch.
    """
    batches = pieces(rows, size)
    for number, batch in enumerate(batches):
        for step, images in stepwise(engine, batch, steps, numbers):
            if progress is not None:
                progress(number * steps + step + 1, len(batches) * steps)
            if step == steps - 1:
                yield images


def pieces(rows: Rows, size: int) -> list[Rows]:
    """Cut the rows of all arrays into pieces of at most `size` rows."""
    count = len(next(iter(rows.values())))
    return [
        {name: array[start : start + size] for name, array in rows.items()}
        for start in range(0, count, size)
    ]
