"""Computes the numbers that sizes are computed of, as onnxruntime would.

A number that depends on the number of images N is kept where it can only grow with N: sums,
products and the larger of numbers that are not negative. Any other is None, not known, and so is
what would not fit its type.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .facts import FEW, Call
from .sizes import Rows, degree, is_exact

Known = np.ndarray


def result(call: Call, dtypes: Sequence[np.dtype], shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """The numbers of each output, None for one whose numbers are not followed."""
    rule = _RULES.get(call.kind)
    if rule is None or not all(map(_few, shapes)):
        return [None] * len(shapes)
    made = rule(call, shapes)
    # A shape that is only a bound does not tell how many numbers there are.
    return [
        None
        if numbers is None or numbers.size != math.prod(shape)
        else _fitting(numbers, dtype).reshape(shape)
        for numbers, dtype, shape in zip(made, dtypes, shapes, strict=True)
    ]


def _few(shape: Sequence[int]) -> bool:
    return math.prod(shape) <= FEW and not any(map(degree, shape))


def _fitting(numbers: Known, dtype: np.dtype) -> Known:
    """As the type holds them; what does not fit wraps round or overflows, and is not known."""
    if dtype.kind == "b":
        return numbers
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    least, most = limits.min.item() if dtype.kind == "f" else limits.min, limits.max
    fitting = [None if x is None or not least <= x <= most else x for x in numbers.flat]
    if dtype.kind == "f":
        fitting = [None if x is None else dtype.type(x).item() for x in fitting]
    return _array(fitting, numbers.shape)


def _array(numbers: Sequence[Any], shape: tuple[int, ...]) -> Known:
    made = np.empty(len(numbers), object)
    made[:] = numbers
    return made.reshape(shape)


def _followed(call: Call) -> list[Known] | None:
    """The numbers of all inputs, None unless those of each are followed."""
    found = [fact.values for fact in call.inputs if fact and fact.values is not None]
    return found if len(found) == len(call.inputs) else None


def _each(function: Callable[..., Any]) -> Callable[[Call, Sequence[tuple[int, ...]]], list]:
    """A rule that goes through all elements of inputs that are broadcast."""

    def rule(call: Call, _: Sequence[tuple[int, ...]]) -> list:
        found = _followed(call)
        if found is None:
            return [None]
        inputs = np.broadcast_arrays(*found)
        rows = zip(*(values.flat for values in inputs), strict=True)
        return [_array([function(*row) for row in rows], inputs[0].shape)]

    return rule


def _folded(function: Callable[[Any, Any], Any]) -> Callable:
    def combined(first: Any, *others: Any) -> Any:
        for other in others:
            first = function(first, other)
        return first

    return _each(combined)


def _growing(
    plain: Callable[[Any, Any], Any], power: Callable[[int, int], int]
) -> Callable[[Any, Any], Any]:
    """A function of two numbers that grows with both, where neither is negative."""

    def combined(a: Any, b: Any) -> Any:
        if a is None or b is None:
            return None
        made = plain(a, b)
        if not isinstance(a, Rows) and not isinstance(b, Rows):
            return made
        if a < 0 or b < 0 or isinstance(made, float):
            return None
        return Rows(int(made), power(degree(a), degree(b)), is_exact(a) and is_exact(b))

    return combined


def _fixed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers that do not depend on N."""

    def combined(*numbers: Any) -> Any:
        if any(number is None or isinstance(number, Rows) for number in numbers):
            return None
        try:
            return function(*numbers)
        except (ArithmeticError, ValueError):
            return None

    return combined


def _quotient(a: Any, b: Any) -> Any:
    if isinstance(a, Rows) and type(b) is int and b == 1:
        return a
    return _divide(a, b)


def _plain_quotient(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return int(math.copysign(abs(a) // abs(b), a * b)) if b else None
    return a / b


_divide = _fixed(_plain_quotient)


def _difference(a: Any, b: Any) -> Any:
    return a if isinstance(a, Rows) and type(b) is int and b == 0 else _minus(a, b)


_minus = _fixed(operator.sub)


def _negative(a: Any) -> Any:
    return Rows(-int(a), a.degree, a.exact) if isinstance(a, Rows) else _fixed(operator.neg)(a)


def _compared(function: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    """A comparison; N is at least 1, so that a size of N is never less than it is for one image."""

    def combined(a: Any, b: Any) -> Any:
        if a is None or b is None:
            return None
        for rows, other in ((a, b), (b, a)):
            if isinstance(rows, Rows) and (
                isinstance(other, Rows) or not rows.exact or not 0 <= rows > other
            ):
                return None
        return function(a, b)

    return combined


def _chosen(condition: Any, a: Any, b: Any) -> Any:
    return None if condition is None else a if condition else b


def _whole(function: Callable[[float], int]) -> Callable[[Any], Any]:
    return lambda a: a if isinstance(a, Rows) else _fixed(lambda x: type(x)(function(x)))(a)


def _cast(call: Call, _: Sequence[tuple[int, ...]]) -> list:
    kind = call.whole("to", 0)
    values = call.input(0).values
    if values is None:
        return [None]
    to = {1: float, 10: float, 11: float, 9: bool}.get(kind, int)
    # What is no whole number of images any more is not followed.
    rows = [x if isinstance(x, Rows) and to is int else _fixed(to)(x) for x in values.flat]
    return [_array(rows, values.shape)]


def _moved(function: Callable[[Call, Known], Known | None]) -> Callable:
    """A rule that only puts the numbers of the first input elsewhere."""

    def rule(call: Call, _: Sequence[tuple[int, ...]]) -> list:
        values = call.input(0).values
        return [None if values is None else function(call, values)]

    return rule


def _sliced(call: Call, values: Known) -> Known | None:
    starts, ends = call.followed(1), call.followed(2)
    axes = call.followed(3) if call.optional(3) else list(range(len(starts)))
    steps = call.followed(4) if call.optional(4) else [1] * len(starts)
    if any(type(x) is not int for x in (*starts, *ends, *axes, *steps)) or 0 in steps:
        return None
    index = [slice(None)] * values.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, end, step)
    return values[tuple(index)]


def _gathered(call: Call, values: Known) -> Known | None:
    indices = call.input(1).values
    axis = call.axis(values.ndim, call.whole("axis", 0))
    size = values.shape[axis]
    if indices is None or any(type(i) is not int or not -size <= i < size for i in indices.flat):
        return None
    # Of one index alone NumPy makes a bare number.
    return np.asarray(np.take(values, indices.astype(int), axis=axis), object)


def _concatenated(call: Call, _: Sequence[tuple[int, ...]]) -> list:
    found = _followed(call)
    return [None if found is None else np.concatenate(found, axis=call.whole("axis", 0))]


def _split(call: Call, shapes: Sequence[tuple[int, ...]]) -> list:
    values = call.input(0).values
    if values is None:
        return [None] * len(shapes)
    axis = call.axis(values.ndim, call.whole("axis", 0))
    ends = np.cumsum([int(shape[axis]) for shape in shapes])[:-1]
    return list(np.split(values, ends, axis=axis))


def _reduced(function: Callable[[Any, Any], Any]) -> Callable:
    def rule(call: Call, shapes: Sequence[tuple[int, ...]]) -> list:
        values = call.input(0).values
        if values is None or not values.size or math.prod(shapes[0]) != 1:
            return [None]
        first, *others = values.flat
        for other in others:
            first = function(first, other)
        return [_array([first], (1,))]

    return rule


def _shape(call: Call, shapes: Sequence[tuple[int, ...]]) -> list:
    start, end = call.whole("start", 0), call.whole("end", FEW)
    return [_array(call.input(0).shape[start:end], shapes[0])]


def _filled(call: Call, shapes: Sequence[tuple[int, ...]]) -> list:
    if "value" not in call.attributes:
        return [_array([0.0] * math.prod(shapes[0]), shapes[0])]
    return [None]


def _expanded(call: Call, shapes: Sequence[tuple[int, ...]]) -> list:
    values = call.input(0).values
    return [None if values is None else np.broadcast_to(values, shapes[0])]


def _range(call: Call, shapes: Sequence[tuple[int, ...]]) -> list:
    start, _, step = (call.known(position)[0] for position in range(3))
    return [_array([start + step * k for k in range(shapes[0][0])], shapes[0])]


_add = _growing(operator.add, max)
_multiply = _growing(operator.mul, operator.add)
_maximum = _growing(max, max)
_same = _moved(lambda _, values: values)

_RULES: dict[str, Callable[[Call, Sequence[tuple[int, ...]]], list]] = {
    "Add": _each(_add),
    "Mul": _each(_multiply),
    "Max": _folded(_maximum),
    "Min": _folded(_fixed(min)),
    "Sub": _each(_difference),
    "Div": _each(_quotient),
    "Mod": _each(_fixed(lambda a, b: a % b)),
    "Neg": _each(_negative),
    "Abs": _each(_fixed(abs)),
    "Floor": _each(_whole(math.floor)),
    "Ceil": _each(_whole(math.ceil)),
    "Where": _each(_chosen),
    "Equal": _each(_compared(operator.eq)),
    "Less": _each(_compared(operator.lt)),
    "LessOrEqual": _each(_compared(operator.le)),
    "Greater": _each(_compared(operator.gt)),
    "GreaterOrEqual": _each(_compared(operator.ge)),
    "Not": _each(_fixed(operator.not_)),
    "And": _each(_fixed(lambda a, b: a and b)),
    "Or": _each(_fixed(lambda a, b: a or b)),
    "Cast": _cast,
    "Concat": _concatenated,
    "Split": _split,
    "Shape": _shape,
    "Size": lambda call, _: [_array([call.input(0).elements], ())],
    "ConstantOfShape": _filled,
    "Range": _range,
    "ReduceProd": _reduced(_multiply),
    "ReduceSum": _reduced(_add),
    "ReduceMax": _reduced(_maximum),
    "ReduceMin": _reduced(_fixed(min)),
    "Slice": _moved(_sliced),
    "Gather": _moved(_gathered),
    "Expand": _expanded,
    "Transpose": _moved(
        lambda call, values: values.transpose(call.wholes("perm") or range(values.ndim)[::-1])
    ),
    **dict.fromkeys(("Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten"), _same),
}
