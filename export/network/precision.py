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


@contextlib.contextmanager
def rounded_weights(network: keras.Model) -> Iterator[None]:
    """Have a network's weights, as far as they are floats, rounded to float16 meanwhile.

    Raises InputError for one beyond the range of float16.
    """
    kept = [(each, np.asarray(each.numpy())) for each in network.variables]
    kept = [(each, values) for each, values in kept if values.dtype.kind == "f"]
    try:
        for variable, values in kept:
            variable.assign(in_float16(variable.path, values).astype(values.dtype))
        yield
    finally:
        for variable, values in kept:
            variable.assign(values)


def in_float16(name: str, values: np.ndarray) -> np.ndarray:
    """Weights as float16; InputError for one beyond its range, which infinities may be."""
    largest = np.abs(values[np.isfinite(values)]).max(initial=0)
    if largest > np.finfo(np.float16).max:
        raise InputError(
            f"weight_storage=float16: the weight {name} reaches {largest:g}, beyond the range of "
            "float16; leave it out"
        )
    return values.astype(np.float16)


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
