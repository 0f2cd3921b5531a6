"""The network of a run: a U-Net, or an autoencoder."""

from collections.abc import Iterator
from typing import Any

import keras

from ..config import NetworkConfig
from ..errors import InputError
from .autoencoder import build_autoencoder
from .unet import MOST_PARAMETERS, build_unet


def build_network(
    config: NetworkConfig, *, dtype: str = "float32", dropout: float = 0.0
) -> keras.Model:
    """What `build_autoencoder` makes for that task, and else what `build_unet` makes."""
    if config.task != "autoencoder":
        return build_unet(config, dtype=dtype, dropout=dropout)
    network = build_autoencoder(config, dtype=dtype)
    if (count := network.count_params()) > MOST_PARAMETERS:
        expected = f"expected at most {MOST_PARAMETERS:,}, which an export can hold"
        raise InputError(f"widths={config.widths}: {count:,} parameters, {expected}; lower widths")
    return network


def layers_of(network: keras.Model) -> Iterator[Any]:
    """The layers of a network, and of the models inside it."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer
