"""Checks the inputs of a graph against what the manifest says of it, before the graph runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..bundle.bundle import Bundle
from ..bundle.conditions import SMALL
from ..bundle.graph import UNROLLED
from ..checking import Port, Signature
from ..limits import MAX_COUNT, SEED_END
from .arguments import as_array, checked_steps
from .conditioning import NO_LABEL, Feeds


def checked_feeds(bundle: Bundle, graph: str, feeds: Mapping[str, Any]) -> Feeds:
    """Return the inputs of a graph as arrays.

    Raises ValueError unless they have the names, dtypes and shapes that the manifest says, as many
    rows as each other, and numbers within their ranges; BundleError if there is no such graph.
    """
    signature = bundle.graph(graph).signature
    ports = signature.inputs
    expected = [port.name for port in ports]
    if sorted(feeds) != sorted(expected):
        received = ", ".join(map(str, feeds)) or "nothing"
        raise ValueError(f"feeds: received {received}, expected {', '.join(expected)} of {graph!r}")
    arrays = declared(signature, {name: as_array(name, feeds[name]) for name in expected})
    rows: dict[int | str | None, int] = {}
    for port in ports:
        _require_type(port, arrays[port.name], rows)
    ranges = _ranges(bundle, graph, arrays)
    for name, array in arrays.items():
        _require_range(name, array, *ranges.get(name, (-np.inf, np.inf)))
    return arrays


def declared(signature: Signature, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """Return a graph's inputs, with numbers as [1] where it declares them so."""
    shapes = {port.name: port.shape for port in signature.inputs}
    return {
        name: value.reshape(1) if shapes.get(name) == (1,) and not value.shape else value
        for name, value in feeds.items()
    }


def _require_type(port: Port, array: np.ndarray, rows: dict[int | str | None, int]) -> None:
    """ValueError for another dtype or shape; `rows` are the open sizes that are known so far."""
    if array.dtype != port.dtype:
        raise ValueError(f"{port.name} of dtype {array.dtype}: expected {port.dtype}")
    known = [rows.get(size, size) for size in port.shape]
    pairs = [*zip(known, array.shape, strict=False)]
    fits = all(size == length or not isinstance(size, int) for size, length in pairs)
    if array.ndim != len(known) or not fits:
        expected = ", ".join(map(str, known))
        raise ValueError(f"{port.name} of shape {list(array.shape)}: expected [{expected}]")
    for size, length in pairs:
        if not isinstance(size, int):
            if not 1 <= length <= MAX_COUNT:
                raise ValueError(f"{port.name} of {length} rows: expected 1 to {MAX_COUNT}")
            rows[size] = length


def _ranges(bundle: Bundle, graph: str, arrays: Feeds) -> dict[str, tuple[float, float]]:
    """Return the least and the largest number of each input that has limits."""
    most = bundle.max_steps
    if "steps" in arrays:
        most = checked_steps(bundle, arrays["steps"].item(), baked=graph in UNROLLED)
    pixels = bundle.sample_dtype == "uint8"
    return {
        "seeds": (0, SEED_END - 1),
        "step": (0, most - 1),
        "start": (0, most - 1),
        "every": (1, bundle.max_steps),
        "labels": (NO_LABEL, len(bundle.class_names) - 1),
        "guidance": bundle.guidance_range,
        "time": (0, 1),
        "network_time": (0, 1),
        **({} if bundle.draws_arrays else {"images": (0, 255 if pixels else 1)}),
        **({SMALL: (0, 1)} if graph == "upscaler" and bundle.factor > 1 else {}),
        **{each.name: (each.minimum, each.maximum) for each in bundle.conditions},
    }


def _require_range(name: str, array: np.ndarray, least: float, most: float) -> None:
    low, high = array.min(), array.max()
    # Also false for NaN.
    if not (least <= low <= high <= most) or not np.isfinite((low, high)).all():
        expected = f"numbers from {least} to {most}" if np.isfinite(most) else "finite numbers"
        raise ValueError(f"{name} from {low} to {high}: expected {expected}")
