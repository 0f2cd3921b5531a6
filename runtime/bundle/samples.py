"""What a bundle draws, by its manifest: images, in one stage or two or of latents, or arrays."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..checking import Port, Signature
from .conditions import MAX_NUMBERS, SMALL

if TYPE_CHECKING:
    from .bundle import Bundle

SIDES = ("height", "width", "channels")


def drawn_samples(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Bundle's fields on what it draws, of a manifest that fits the schema.

    ValueError for entries that exclude each other, for more numbers than an array may have, for
    other numbers of means and deviations than its last axis has, and for a second stage whose
    pictures are no multiple of the first stage's.
    """
    if "array" not in values:
        image, latent = values["image"], values.get("latent")
        more: dict[str, Any] = {} if latent is None else {"latent_shape": _shape("latent", latent)}
        shape = tuple(image[name] for name in SIDES)
        if "then" in values:
            more["factor"] = _factor(values)
        return {"sample_shape": shape, "sample_dtype": image["dtype"], **more}
    for other in ("image", "latent", "then"):
        if other in values:
            raise ValueError(f"it has an 'array' and {other!r}, expected one of them")
    shape = _shape("array", values["array"])
    return {"sample_shape": shape, "sample_dtype": "float32", "draws_arrays": True}


def _factor(values: Mapping[str, Any]) -> int:
    """By how much the second stage enlarges; ValueError if it cannot follow the first."""
    if "latent" in values:
        raise ValueError("it has a 'latent' and 'then', expected one of them")
    if (version := values["noise"]["version"]) != 2:
        raise ValueError(f"noise.version is {version}, expected 2 beside 'then'")
    factor = values["then"]["factor"]
    height, width = (values["image"][side] for side in SIDES[:2])
    if height % factor or width % factor:
        raise ValueError(f"then.factor is {factor}, expected one that divides {height} x {width}")
    return factor


def _shape(name: str, entry: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tuple(entry["shape"])
    if math.prod(shape) > MAX_NUMBERS:
        raise ValueError(f"{name}.shape is {list(shape)}, expected at most {MAX_NUMBERS} numbers")
    for each in ("mean", "std"):
        if (count := len(entry[each])) != shape[-1]:
            expected = f"one for each of the {shape[-1]} entries of the last axis"
            raise ValueError(f"{name}.{each} has {count} numbers, expected {expected}")
    return shape


def require_two_stages(bundle: "Bundle") -> None:
    """ValueError unless the second stage of a cascade takes what a step of the first makes."""
    graphs = {name: graph.signature for name, graph in bundle.graphs.items()}
    small = Port(SMALL, "float32", ("N", *bundle.small_shape))
    if "step" in graphs:
        if "upscaler" not in graphs:
            raise ValueError("the graph 'step' makes small pictures, expected a graph 'upscaler'")
        if (last := graphs["step"].outputs[-1]) != small:
            raise ValueError(f"the last output of the graph 'step' is {last}, expected {small}")
    if "upscaler" in graphs:
        _require_upscaler(bundle, graphs["upscaler"], small)


def _require_upscaler(bundle: "Bundle", upscaler: Signature, small: Port) -> None:
    """ValueError unless it takes small pictures, seeds, and no more than the first stage has."""
    first = (small, Port("seeds", "int64", ("N",)))
    labels = [Port("labels", "int64", ("N",))] if bundle.class_names else []
    shared = (*labels, *(each.port("N") for each in bundle.conditions))
    images = (Port("images", bundle.sample_dtype, ("N", *bundle.sample_shape)),)
    fits = upscaler.inputs[:2] == first and set(shared).issuperset(upscaler.inputs[2:])
    if not fits or upscaler.outputs != images:
        expected = f"{Signature((*first, *shared), images)}, or no more inputs than these"
        raise ValueError(f"the graph 'upscaler' is {str(upscaler)[:200]}, expected {expected}")
