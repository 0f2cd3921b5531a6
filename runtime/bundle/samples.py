"""What a bundle draws, as its manifest says: images, arrays that are none, or images of latents."""

import math
from collections.abc import Mapping
from typing import Any

from .conditions import MAX_NUMBERS

SIDES = ("height", "width", "channels")


def drawn_samples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Bundle's fields on what it draws, of a manifest that fits the schema.

    ValueError for entries that exclude each other, for more numbers than an array may have, and for
    other numbers of means and deviations than its last axis has.
    """
    if "array" not in values:
        image, latent = values["image"], values.get("latent")
        more = {} if latent is None else {"latent_shape": _shape("latent", latent)}
        shape = tuple(image[name] for name in SIDES)
        return {"sample_shape": shape, "sample_dtype": image["dtype"], **more}
    for other in ("image", "latent"):
        if other in values:
            raise ValueError(f"it has an 'array' and {other!r}, expected one of them")
    shape = _shape("array", values["array"])
    return {"sample_shape": shape, "sample_dtype": "float32", "draws_arrays": True}


def _shape(name: str, entry: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tuple(entry["shape"])
    if math.prod(shape) > MAX_NUMBERS:
        raise ValueError(f"{name}.shape is {list(shape)}, expected at most {MAX_NUMBERS} numbers")
    for each in ("mean", "std"):
        if (count := len(entry[each])) != shape[-1]:
            expected = f"one for each of the {shape[-1]} entries of the last axis"
            raise ValueError(f"{name}.{each} has {count} numbers, expected {expected}")
    return shape
