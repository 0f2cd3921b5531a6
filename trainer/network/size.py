"""A network in numbers: parameters, multiply-adds and outputs, by the size of its images."""

import math
from typing import Any, NamedTuple

import keras

from .layers import SelfAttention
from .networks import layers_of


class Level(NamedTuple):
    """The layers whose images have the same size; `multiply_adds` and `values` are for one image.

    `values` counts the outputs of all layers, which a step keeps for its backward pass.
    """

    size: str
    channels: int
    convolutions: int
    parameters: int
    multiply_adds: int
    values: int


def levels(network: keras.Model) -> list[Level]:
    """The network's layers by the size of their images, the largest first."""
    by_size: dict[tuple[int, ...], list[Any]] = {}
    for layer in layers_of(network):
        if len(layer.output.shape) == 4:
            by_size.setdefault(layer.output.shape[1:3], []).append(layer)
    return [_level(size, by_size[size]) for size in sorted(by_size, reverse=True)]


def _level(size: tuple[int, ...], layers: list[Any]) -> Level:
    convolutions: list[Any] = [x for x in layers if isinstance(x, keras.layers.Conv2D)]
    attentions: list[Any] = [x for x in layers if isinstance(x, SelfAttention)]
    pixels = math.prod(size)
    return Level(
        "×".join(map(str, size)),
        max(layer.output.shape[-1] for layer in layers),
        len(convolutions),
        sum(layer.count_params() for layer in layers),
        sum(pixels * math.prod(layer.kernel.shape) for layer in convolutions)
        # Queries with keys, and the resulting weights with values.
        + sum(2 * pixels**2 * layer.output.shape[-1] for layer in attentions),
        sum(math.prod(layer.output.shape[1:]) for layer in layers),
    )


def multiply_adds(network: keras.Model) -> int:
    """Multiply-adds of a network's convolutions and attention for one image."""
    return sum(level.multiply_adds for level in levels(network))
