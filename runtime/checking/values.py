"""Computes the numbers that sizes are computed from, as onnxruntime would.

A number that depends on the number of images N is `Rows`, and is kept where it can only grow with
N: sums, products and the larger of numbers that are not negative. Any other is None, not known, and
so is what does not fit its type.
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .facts import FEW, Call
from .sizes import Rows, Shape, count, is_count, maximum, product

Number = Any
Fixed = tuple[int, ...]
Rule = Callable[[Call, Sequence[Fixed]], np.ndarray | list[np.ndarray]]


class _UnknownError(Exception):
    """The numbers of an input are not followed."""


def values(
    call: Call, dtypes: Sequence[np.dtype], shapes: list[Shape]
) -> Sequence[np.ndarray | None]:
    """The numbers of each output, None for one whose numbers are not followed."""
    rule = _RULES.get(call.kind)
    if rule is None:
        return [None] * len(shapes)
    fixed = [tuple(size for size in shape if isinstance(size, int)) for shape in shapes]
    if fixed != shapes or max(map(math.prod, fixed)) > FEW:
        return [None] * len(shapes)
    try:
        computed = rule(call, fixed)
    except _UnknownError:
        return [None] * len(shapes)
    arrays = computed if isinstance(computed, list) else [computed]
    return [
        _fitting(array.reshape(shape), dtype)
        for array, dtype, shape in zip(arrays, dtypes, fixed, strict=True)
    ]


def _fitting(numbers: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """As the type holds them; what does not fit wraps round or overflows, and is not known."""
    if dtype.kind == "b":
        return numbers
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    least, most = limits.min.item() if dtype.kind == "f" else limits.min, limits.max

    def fitted(number: Number) -> Number:
        size = number.most if isinstance(number, Rows) else number
        if size is None or not least <= size <= most:
            return None
        return dtype.type(number).item() if dtype.kind == "f" else number

    return _array(map(fitted, numbers.flat), numbers.shape)


def _array(numbers: Any, shape: Fixed) -> np.ndarray:
    return np.array(list(numbers), object).reshape(shape)


def _input(call: Call, position: int = 0) -> np.ndarray:
    numbers = call.input(position).values
    if numbers is None:
        raise _UnknownError
    return numbers


def _inputs(call: Call) -> list[np.ndarray]:
    return [_input(call, position) for position in range(len(call.inputs))]


def _known(function: Callable[..., Number]) -> Callable[..., Number]:
    """The same function, which gives None for numbers that it cannot be computed of."""

    def known(*numbers: Number) -> Number:
        if any(number is None for number in numbers):
            return None
        try:
            return function(*numbers)
        except (ArithmeticError, TypeError, ValueError):
            return None

    return known


def _elementwise(function: Callable[..., Number]) -> Rule:
    """A rule that goes through all elements of inputs that are broadcast."""

    def rule(call: Call, _: Sequence[Fixed]) -> np.ndarray:
        inputs = _inputs(call)
        return np.asarray(np.frompyfunc(function, len(inputs), 1)(*inputs), object)

    return rule


def _each(function: Callable[..., Number]) -> Rule:
    return _elementwise(_known(function))


def _reduced(function: Callable[[Number, Number], Number]) -> Rule:
    """A rule that makes one number of all."""
    known = _known(function)

    def rule(call: Call, shapes: Sequence[Fixed]) -> np.ndarray:
        numbers = _input(call)
        if not numbers.size or math.prod(shapes[0]) != 1:
            raise _UnknownError
        return _array([functools.reduce(known, numbers.flat)], (1,))

    return rule


def _larger(a: Number, b: Number) -> Number:
    if isinstance(a, Rows) or isinstance(b, Rows):
        return maximum(a, b) if is_count(a) and is_count(b) else None
    return max(a, b)


def _quotient(a: Number, b: Number) -> Number:
    if isinstance(a, Rows):
        return a if type(b) is int and b == 1 else None
    if type(a) is int and type(b) is int:
        quotient = abs(a) // abs(b)
        return quotient if (a < 0) == (b < 0) else -quotient
    return a / b


def _remainder(call: Call, shapes: Sequence[Fixed]) -> np.ndarray | list[np.ndarray]:
    if call.whole("fmod", 0):
        raise _UnknownError
    return _each(operator.mod)(call, shapes)


def _compared(function: Callable[[Number, Number], bool]) -> Rule:
    """A comparison; N is at least 1, so that a size of N is never less than it is for one image."""

    def compared(a: Number, b: Number) -> Number:
        rows, other = (a, b) if isinstance(a, Rows) else (b, a)
        if not isinstance(rows, Rows):
            return function(a, b)
        if isinstance(other, Rows) or not rows.exact or not 0 <= rows.most > other:
            return None
        return function(count(a), count(b))

    return _each(compared)


def _cast(call: Call, _: Sequence[Fixed]) -> np.ndarray:
    to = {1: float, 10: float, 11: float, 9: bool}.get(call.whole("to", 0), int)
    # What is no whole number of images any more is not followed.
    number = _known(to)
    cast = [x if isinstance(x, Rows) and to is int else number(x) for x in _input(call).flat]
    return _array(cast, (len(cast),))


def _sliced(call: Call, _: Sequence[Fixed]) -> np.ndarray:
    numbers = _input(call)
    index = [slice(None)] * numbers.ndim
    starts, ends = call.followed(1), call.followed(2)
    axes = call.followed(3) if call.optional(3) else range(len(starts))
    steps = call.followed(4) if call.optional(4) else [1] * len(starts)
    if any(type(x) is not int for x in (*starts, *ends, *axes, *steps)) or 0 in steps:
        raise _UnknownError
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, end, step)
    return numbers[tuple(index)]


def _gathered(call: Call, _: Sequence[Fixed]) -> np.ndarray:
    numbers, indices = _input(call), _input(call, 1)
    axis = range(numbers.ndim)[call.whole("axis", 0)]
    size = numbers.shape[axis]
    if any(type(i) is not int or not -size <= i < size for i in indices.flat):
        raise _UnknownError
    # With a single index NumPy returns a bare number.
    return np.asarray(np.take(numbers, indices.astype(int), axis=axis), object)


def _split(call: Call, shapes: Sequence[Fixed]) -> list[np.ndarray]:
    numbers = _input(call)
    axis = range(numbers.ndim)[call.whole("axis", 0)]
    ends = np.cumsum([shape[axis] for shape in shapes])[:-1]
    return np.split(numbers, ends, axis=axis)


def listed_sizes(call: Call) -> Shape:
    """The sizes that a node Shape lists."""
    return call.input().shape[call.whole("start", 0) : call.whole("end", FEW)]


def _filled(call: Call, shapes: Sequence[Fixed]) -> np.ndarray:
    return np.full(shapes[0], call.attributes.get("value", np.zeros(1)).item(), object)


def _range(call: Call, shapes: Sequence[Fixed]) -> np.ndarray:
    start, _, step = (call.known(position)[0] for position in range(3))
    return _array([start + step * k for k in range(math.prod(shapes[0]))], shapes[0])


def _transposed(call: Call, _: Sequence[Fixed]) -> np.ndarray:
    numbers = _input(call)
    return numbers.transpose(call.attributes.get("perm") or range(numbers.ndim)[::-1])


_RULES: dict[str, Rule] = {
    "Add": _each(operator.add),
    "Sub": _each(operator.sub),
    "Mul": _each(operator.mul),
    "Div": _each(_quotient),
    "Mod": _remainder,
    "Max": _each(lambda *numbers: functools.reduce(_larger, numbers)),
    "Min": _each(min),
    "Neg": _each(operator.neg),
    "Abs": _each(abs),
    "Floor": _each(lambda x: type(x)(math.floor(x))),
    "Ceil": _each(lambda x: type(x)(math.ceil(x))),
    "Where": _elementwise(lambda c, a, b: None if c is None else a if c else b),
    "Equal": _compared(operator.eq),
    "Less": _compared(operator.lt),
    "LessOrEqual": _compared(operator.le),
    "Greater": _compared(operator.gt),
    "GreaterOrEqual": _compared(operator.ge),
    "Not": _each(operator.not_),
    "And": _each(lambda a, b: a and b),
    "Or": _each(lambda a, b: a or b),
    "Cast": _cast,
    "Concat": lambda call, _: np.concatenate(_inputs(call), axis=call.whole("axis", 0)),
    "Split": _split,
    "Shape": lambda call, shapes: _array(listed_sizes(call), shapes[0]),
    "Size": lambda call, _: _array([product(call.input().shape)], ()),
    "ConstantOfShape": _filled,
    "Range": _range,
    "ReduceProd": _reduced(operator.mul),
    "ReduceSum": _reduced(operator.add),
    "ReduceMax": _reduced(_larger),
    "ReduceMin": _reduced(min),
    "Slice": _sliced,
    "Gather": _gathered,
    "Expand": lambda call, shapes: np.broadcast_to(_input(call), shapes[0]),
    "Transpose": _transposed,
    **dict.fromkeys(
        ("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"), lambda call, _: _input(call)
    ),
}
