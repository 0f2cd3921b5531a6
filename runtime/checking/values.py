"""Computes the numbers that sizes are computed from, as onnxruntime would.

They are whole numbers and sizes of N images (`Rows`), and the operators are those with which
exporters write sizes. Any other number is None, not known, and so is what does not fit its type.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .facts import FEW, Call
from .sizes import Rows, Shape, count, product, require

# Gets the numbers of the inputs as well, None for those of an input that are not followed.
Rule = Callable[..., Any]

_ONE = np.array(1, object)


def values(call: Call, dtype: np.dtype, shapes: Sequence[Shape]) -> Sequence[np.ndarray | None]:
    """The numbers of each output, None for one whose numbers are not followed."""
    unknown = [None] * len(shapes)
    is_followed = dtype.kind in "iu" and call.kind in _RULES
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
        is_followed = type(number) is int or isinstance(number, Rows)
        return number if is_followed and limits.min <= count(number) <= limits.max else None

    array = np.asarray(numbers, object).reshape(shape)
    return np.asarray(np.frompyfunc(fitting, 1, 1)(array), object)


def listed_sizes(call: Call) -> Shape:
    """The sizes that a node Shape lists."""
    return call.input().shape[call.whole("start", 0) : call.whole("end", FEW)]


def _sliced(
    _call: Call, numbers: Any, start: Any, end: Any, _axes: Any = None, step: Any = _ONE
) -> np.ndarray:
    limits = [number.item() for number in (start, end, step)]
    require(numbers.ndim == 1 and all(type(limit) is int for limit in limits))
    return numbers[slice(*limits)]


_RULES: dict[str, Rule] = {
    "Add": lambda _, a, b: np.add(a, b),
    "Sub": lambda _, a, b: np.subtract(a, b),
    "Mul": lambda _, a, b: np.multiply(a, b),
    "Mod": lambda call, a, b: None if call.whole("fmod", 0) else np.mod(a, b),
    "Neg": lambda _, a: np.negative(a),
    "ReduceProd": lambda _, a, *__: a.prod(),
    "Concat": lambda call, *parts: np.concatenate(parts, call.whole("axis", 0)),
    "Gather": lambda call, a, places: np.take(a, places.astype(int), call.whole("axis", 0)),
    "Shape": lambda call, _: listed_sizes(call),
    "Size": lambda call, _: product(call.input().shape),
    "Slice": _sliced,
    "Split": lambda call, a, sizes: np.split(a, np.cumsum(sizes)[:-1], call.whole("axis", 0)),
    **dict.fromkeys(
        ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"), lambda _, a, *__: a
    ),
}
