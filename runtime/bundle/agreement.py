"""Whether the entries of a manifest that fits the schema agree with each other."""

import math
from typing import TYPE_CHECKING

from ..checking import Port
from .graph import GRAPHS, UNROLLED

if TYPE_CHECKING:
    from .bundle import Bundle

# Graphs that evaluate the network, and so take its conditions.
_OF_THE_NETWORK = frozenset(GRAPHS) - {"noise"}


def require_agreement(bundle: "Bundle", *, learned_variance: bool) -> None:
    """ValueError, which says what was found and expected, unless the entries agree."""
    _require_numbers(bundle)
    _require_outputs(bundle, learned_variance)
    if bundle.conditions:
        _require_conditions(bundle)


def _require_numbers(bundle: "Bundle") -> None:
    black, white = bundle.levels or (0, 1)
    if not -math.inf < black < white < math.inf:
        raise ValueError(f"image.levels is {[black, white]}, expected numbers that rise")
    for name in ("default_steps", "default_steps_outside"):
        if (steps := getattr(bundle, name)) > bundle.max_steps:
            expected = f"at most max_steps, {bundle.max_steps}"
            raise ValueError(f"sampler.{name} is {steps}, expected {expected}")


def _require_outputs(bundle: "Bundle", learned_variance: bool) -> None:
    """The sampler makes what the bundle draws, and all graphs what the engine takes of them."""
    entry = "array" if bundle.draws_arrays else "image"
    shape = (bundle.unrolled_batch or "N", *bundle.sample_shape)
    samples = Port(bundle.samples, bundle.sample_dtype, shape)
    sampler = bundle.graphs["sampler"].signature
    if sampler.outputs != (samples,):
        expected = f"{samples} as {entry!r} says"
        raise ValueError(f"the graph 'sampler' is {sampler}, expected {expected}")
    if bundle.latent_shape and "step" in bundle.graphs and "decoder" not in bundle.graphs:
        raise ValueError("the graph 'step' makes latents, expected a graph 'decoder' of them")
    for name, graph in bundle.graphs.items():
        carried = len(bundle.carried()) if name == "step" else 0
        several = {"step": carried + 1, "denoiser": 3 if learned_variance else 2}
        if len(graph.signature.outputs) != (expected := several.get(name, 1)):
            raise ValueError(
                f"the graph {name!r} is {graph.signature}, expected {expected} outputs"
            )


def _require_conditions(bundle: "Bundle") -> None:
    """The conditions are the last inputs of all that evaluates the network."""
    for name in bundle.graphs.keys() & _OF_THE_NETWORK:
        rows = bundle.unrolled_batch if name in UNROLLED else None
        expected = tuple(each.port(rows or "N") for each in bundle.conditions)
        last = bundle.graphs[name].signature.inputs[-len(expected) :]
        if last != expected:
            received, wanted = (", ".join(map(str, ports))[:200] for ports in (last, expected))
            raise ValueError(
                f"the last inputs of the graph {name!r} are {received}, expected {wanted} as "
                "'conditions' says"
            )
