"""Computes the numbers that sizes are computed from, as onnxruntime would.

They are whole numbers and sizes of N images (`Rows`), and the operators are those with which
exporters write sizes. Any other number is None, not known, and so is what does not fit its type.
A truth value that only a run will show is a size from 0 to 1.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .facts import FEW, Call
from .sizes import Rows, Shape, count, least, product, require

_ONE = np.array(1, object)


def values(call: Call, dtype: np.dtype, shapes: Sequence[Shape]) -> Sequence[np.ndarray | None]:
    """The numbers of each output, None for one whose numbers are not followed."""
    unknown = [None] * len(shapes)
    # In a smaller type, the number of images may overflow.
    is_followed = dtype.kind in "iu" and dtype.itemsize >= 4 and call.kind in _RULES
    if not is_followed or not all(map(_is_small, shapes)):
        return unknown
    try:
        computed = _RULES[call.kind](call, *(fact and fact.values for fact in call.inputs))
        arrays = computed if isinstance(computed, list) else [computed]
        pairs = zip(arrays, shapes, strict=True)
        return [_fitting(array, dtype, shape) for array, shape in pairs]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return unknown


def _is_small(shape: Shape) -> bool:
    elements = product(shape)
    return isinstance(elements, int) and elements <= FEW


def _fitting(numbers: Any, dtype: np.dtype, shape: Any) -> np.ndarray:
    """Those that are followed and that the type holds."""
    limits = np.iinfo(dtype)

    def fitting(number: Any) -> Any:
        fits = type(number) in (int, Rows) and least(number) >= limits.min
        return number if fits and count(number) <= limits.max else None

    array = np.asarray(numbers, object).reshape(shape)
    return np.asarray(np.frompyfunc(fitting, 1, 1)(array), object)


def listed_sizes(call: Call) -> Shape:
    """The sizes that a node Shape lists."""
    return call.input().shape[call.whole("start", 0) : call.whole("end", FEW)]


def _cast(call: Call, numbers: Any) -> Any:
    dtype, shape, *_ = call.input()
    return np.full(shape, Rows(0, 1, 0)) if dtype.kind == "b" else numbers  # type: ignore[arg-type]


def _sliced(
    _call: Call, numbers: Any, start: Any, end: Any, _axes: Any = None, step: Any = _ONE
) -> np.ndarray:
    limits = [number.item() for number in (start, end, step)]
    require(numbers.ndim == 1 and all(type(limit) is int for limit in limits))
    return numbers[slice(*limits)]


def _only(_call: Call, numbers: Any, _axes: Any = None) -> Any:
    """The greatest or least of numbers that are alike, as sizes of what is taken together are."""
    first, *rest = numbers.flat
    require(all(number == first for number in rest))
    return np.array(first, object)


def _alike(a: Any, b: Any) -> Any:
    require(a == b)
    return a


# Each takes a node and the numbers of its inputs, None for an input that is not followed.
_RULES: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: np.add(a, b),
    "Sub": lambda _, a, b: np.subtract(a, b),
    "Mul": lambda _, a, b: np.multiply(a, b),
    "Mod": lambda call, a, b: None if call.whole("fmod", 0) else np.mod(a, b),
    "Max": lambda _, *parts: functools.reduce(np.frompyfunc(_alike, 2, 1), parts),
    "Neg": lambda _, a: np.negative(a),
    **dict.fromkeys(("ReduceMax", "ReduceMin"), _only),
    "ReduceProd": lambda _, a, *__: a.prod(),
    "Cast": _cast,
    "Concat": lambda call, *parts: np.concatenate(parts, call.whole("axis", 0)),
    "Gather": lambda call, a, places: np.take(a, places.astype(int), call.whole("axis", 0)),
    "Shape": lambda call, _: listed_sizes(call),
    "Size": lambda call, _: product(call.input().shape),
    "Slice": _sliced,
    "Split": lambda call, a, sizes: np.split(a, np.cumsum(sizes)[:-1], call.whole("axis", 0)),
    **dict.fromkeys(
        ("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"), lambda _, a, *__: a
    ),
}
