"""Checks the constants of a graph: their types, that shape and bytes agree, that all are finite."""

import math

import numpy as np

from . import GraphError
from .limits import MAX_RANK
from .onnx_reader import Message

# By TensorProto.DataType. Texts, complex numbers and exotic floats have no place in a sampler.
DTYPES = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    3: np.dtype("i1"),
    4: np.dtype("<u2"),
    5: np.dtype("<i2"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
    12: np.dtype("<u4"),
    13: np.dtype("<u8"),
}
_FLOAT, _FLOAT16, _INT64 = 1, 10, 7
DTYPE_NAMES = {number: dtype.name for number, dtype in DTYPES.items()}

# Where a tensor's elements may be instead of in raw_data.
_LISTS = {"float_data": {_FLOAT}, "int64_data": {_INT64}, "int32_data": {2, 3, 4, 5, 6, 9, 10}}


def checked_array(tensor: Message) -> np.ndarray:
    """Return a constant's elements, a view of them where that can be.

    GraphError unless its type is known, its dimensions hold what its bytes do, and all is finite.
    """
    name = tensor.get("name", "")
    dtype = DTYPES.get(tensor.get("data_type", 0))
    if dtype is None:
        raise GraphError(
            f"has the constant {name!r} of data type {tensor.get('data_type', 0)}, expected a "
            "number type"
        )
    dims = tensor["dims"]
    if len(dims) > MAX_RANK or any(size < 0 for size in dims):
        raise GraphError(
            f"has the constant {name!r} of shape {dims[: MAX_RANK + 1]}, expected at most "
            f"{MAX_RANK} dimensions, none of them negative"
        )
    array = _elements(tensor, name, dtype)
    # In Python's integers, which do not overflow.
    if math.prod(dims) != len(array):
        raise GraphError(
            f"has the constant {name!r} of shape {dims} with {len(array)} elements, expected "
            f"{math.prod(dims)}"
        )
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise GraphError(f"has weights that are not finite, in {name!r}")
    return array.reshape(dims)


def _elements(tensor: Message, name: str, dtype: np.dtype) -> np.ndarray:
    filled = [key for key in _LISTS if tensor[key]]
    raw = tensor.get("raw_data", b"")
    if len(filled) + bool(len(raw)) > 1:
        raise GraphError(f"has the constant {name!r} with its elements given twice")
    for key in filled:
        if tensor.get("data_type") not in _LISTS[key]:
            raise GraphError(f"has the constant {name!r} of {dtype} in {key}")
        # The bits of a float16 stand in an int32.
        stored = np.dtype("<u2") if dtype == np.float16 else dtype
        try:
            return np.array(tensor[key], stored).view(dtype)
        except OverflowError as error:
            raise GraphError(
                f"has the constant {name!r} with an element that is no {dtype}"
            ) from error
    if len(raw) % dtype.itemsize:
        raise GraphError(
            f"has the constant {name!r} of {len(raw)} bytes, which are no whole {dtype}"
        )
    return np.frombuffer(raw, dtype)
