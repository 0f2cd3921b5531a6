"""Checks the constants of a graph: types, that shape and bytes agree, that weights are finite."""

import math

import numpy as np

from . import GraphError
from .limits import MAX_RANK
from .onnx_reader import Message

# By TensorProto.DataType. Texts, complex numbers and exotic floats have no place in a sampler.
_TEXT = 8
_CODES = ("<f4", "u1", "i1", "<u2", "<i2", "<i4", "<i8", "U", "?", "<f2", "<f8", "<u4", "<u8")
DTYPES = {number: np.dtype(code) for number, code in enumerate(_CODES, 1) if number != _TEXT}

# Where a tensor's elements may be instead of in raw_data.
_LISTS = {"float_data": {1}, "int64_data": {7}, "int32_data": {2, 3, 4, 5, 6, 9, 10}}


def checked_array(tensor: Message) -> np.ndarray:
    """Return a constant's elements, a view of them where possible.

    GraphError unless its type is known, its dimensions hold what its bytes do, and weights are
    finite.
    """
    try:
        return _array(tensor)
    except (OverflowError, ValueError) as error:
        raise GraphError(f"has the constant {tensor.get('name', '')!r} {error}") from error


def _array(tensor: Message) -> np.ndarray:
    dtype, dims = DTYPES.get(tensor.get("data_type", 0)), tensor["dims"]
    if dtype is None:
        raise ValueError(f"of data type {tensor.get('data_type', 0)}, expected a number type")
    if len(dims) > MAX_RANK or any(size < 0 for size in dims):
        raise ValueError(
            f"of shape {dims[: MAX_RANK + 1]}, expected at most {MAX_RANK} dimensions, none of "
            "them negative"
        )
    array = _elements(tensor, dtype)
    # In Python's integers, which do not overflow.
    if math.prod(dims) != len(array):
        raise ValueError(f"of shape {dims} with {len(array)} elements, expected {math.prod(dims)}")
    array = array.reshape(dims)
    if dtype.kind == "f" and not _may_be_meant(array):
        raise ValueError("with weights that are not finite")
    return array


def _may_be_meant(array: np.ndarray) -> bool:
    """Whether numbers are finite, or one number by itself, or a mask: 0 and −∞."""
    finite = np.isfinite(array)
    if finite.all() or array.ndim == 0:
        return True
    return bool(finite.any() and (array[~finite] < 0).all() and not array[finite].any())


def _elements(tensor: Message, dtype: np.dtype) -> np.ndarray:
    filled = [key for key in _LISTS if tensor[key]]
    raw = tensor.get("raw_data", b"")
    if len(filled) + bool(len(raw)) > 1:
        raise ValueError("with its elements given twice")
    for key in filled:
        if tensor["data_type"] not in _LISTS[key]:
            raise ValueError(f"of {dtype} in {key}")
        # The bits of a float16 are stored in an int32.
        stored = np.dtype("<u2") if dtype == np.float16 else dtype
        return np.array(tensor[key], stored).view(dtype)
    if len(raw) % dtype.itemsize:
        raise ValueError(f"of {len(raw)} bytes, which are no whole {dtype}")
    return np.frombuffer(raw, dtype)
