"""Sampling step by step: noise.onnx once, then step.onnx again and again.

All mathematics is in the graphs. What a step hands to the next is known by its place alone, and
stays in the GPU's memory.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .engine import Engine, scalar


def stepwise(engine: Engine, seeds: np.ndarray, steps: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (step, images) after each step 0 … steps - 1, for seeds int64 [N] in one batch."""
    state = _first_state(engine, seeds)
    for step in range(steps):
        numbers = {"step": scalar(step), "steps": scalar(steps)}
        carried, images = engine.run_kept("step", {**numbers, **state})
        state = dict(zip(state, carried, strict=True))
        yield step, images


def _first_state(engine: Engine, seeds: np.ndarray) -> dict[str, Any]:
    """What "step" takes first, in its order: the noise, the seeds, and zeros for all else."""
    noise = engine.run("noise", {"seeds": seeds})[0]
    known = {"noisy": noise, "seeds": seeds}
    return {name: known.get(name, np.zeros_like(noise)) for name in engine.inputs("step")[2:]}
