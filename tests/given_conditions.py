"""What the tests give for the three conditions of `conditions_bundle`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

_RANDOM = np.random.default_rng(5)
# One for each of seven images.
GIVEN: dict[str, np.ndarray] = {
    "text": _RANDOM.normal(size=(7, 2, 3)).astype(np.float32),
    "age": np.array([3, 4, 5, 6, 7, 8, 9]),
    "sketch": _RANDOM.integers(0, 256, (7, 6, 10, 1), np.uint8),
}


def of(rows: int | slice | list[int]) -> dict[str, np.ndarray]:
    """Those of some images, or of one for all."""
    return {name: values[rows] for name, values in GIVEN.items()}


def saved(folder: Path, conditions: Mapping[str, np.ndarray]) -> list[str]:
    """Write each to a file, and return them as commands take them: text=/folder/text.npy."""
    for name, values in conditions.items():
        np.save(folder / f"{name}.npy", values)
    return [f"{name}={folder / name}.npy" for name in conditions]
