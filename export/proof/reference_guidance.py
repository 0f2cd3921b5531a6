"""What images show, and guidance, once more, in float64."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from .reference_noise import Array

Network = Callable[..., Array]


@dataclass(frozen=True)
class ReferenceConditioning:
    """What images show, by the names of the graphs' inputs: labels int64 [N], −1 for none, others.

    `nulls` are what the network sees of it where guidance leaves it out.
    """

    shown: Mapping[str, Array] = field(default_factory=dict)
    nulls: Mapping[str, Array] = field(default_factory=dict)
    guidance: float = 1.0


def guided(network: Network) -> Network:
    """A network of (x, condition, labels and others) as one of (x, condition, conditioning).

    Classifier-free guidance (arXiv 2207.12598, equation 6): the output without what is shown, plus
    `guidance` times the difference of the output with it. A learned variance, in the channels after
    those of x, is taken from the output with it alone (GLIDE, arXiv 2112.10741).
    """

    def call(x: Array, condition: Array, conditioning: ReferenceConditioning) -> Array:
        guidance, shown = conditioning.guidance, conditioning.shown
        output = np.asarray(network(x, condition, *shown.values()), np.float64)
        if guidance == 1:
            return output
        left = {**shown, **conditioning.nulls}.values()
        without = np.asarray(network(x, condition, *left), np.float64)
        mixed, channels = without + guidance * (output - without), x.shape[-1]
        return np.concatenate([mixed[..., :channels], output[..., channels:]], axis=-1)

    return call


def told(network: Network) -> Network:
    """A network of (x, condition, labels, guidance and others) as one of conditioning.

    It takes the guidance itself, as a number for each image, after the labels.
    """

    def call(x: Array, condition: Array, conditioning: ReferenceConditioning) -> Array:
        others = dict(conditioning.shown)
        labels = [others.pop(name) for name in ("labels",) if name in others]
        guidance = np.full(len(x), conditioning.guidance, np.float32)
        return np.asarray(network(x, condition, *labels, guidance, *others.values()), np.float64)

    return call
