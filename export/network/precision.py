"""Networks of other precisions, computing in float32 while they are baked."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from ...trainer.errors import InputError
from ..checks import may_be_meant

_OTHERS = ("float16", "bfloat16", "float64")


@contextlib.contextmanager
def in_float32(network: keras.Model) -> Iterator[None]:
    """Have all layers compute in float32 meanwhile, as their weights in mixed precision are.

    Raises InputError for quantised layers, and for weights that are not finite.
    """
    _require_finite(network)
    _require_unquantised(network)
    layers = [layer for layer in network._flatten_layers() if layer.compute_dtype in _OTHERS]
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.callback(setattr, layer, "_dtype_policy", layer._dtype_policy)
            layer._dtype_policy = _InFloat32(layer.variable_dtype)
        yield


class _InFloat32(keras.DTypePolicy):
    """Computes in float32 with variables of another type, which Keras casts where they differ."""

    def __init__(self, variable_dtype: str) -> None:
        super().__init__("float32")
        self._variable_dtype = variable_dtype


def _require_unquantised(network: keras.Model) -> None:
    for layer in network._flatten_layers():
        if mode := getattr(layer, "quantization_mode", None):
            raise InputError(
                f"network: its layer {layer.path} is quantised ({mode}); export the network as it "
                "was before quantize()"
            )


def _require_finite(network: keras.Model) -> None:
    for variable in network.variables:
        if not may_be_meant(np.asarray(variable.numpy(), np.float32)):
            raise InputError(
                f"network: its weight {variable.path} is not finite; export an earlier checkpoint, "
                "or train again with a lower learning rate"
            )
