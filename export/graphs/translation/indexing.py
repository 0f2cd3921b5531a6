"""Operators on numbers that ONNX lacks or that tf2onnx converts for some numbers alone."""

from functools import partial
from typing import Any

import numpy as np

from .replacing import Rule, Site

_LAST = np.array([-1])
_SIGN = np.int32(-(2**31))

# Pointwise operators that make infinite numbers or none of some finite ones, and others.
_PARTIAL = "Acos Acosh Asin Atanh Div Exp Log Log1p Pow RealDiv Reciprocal Rsqrt Sqrt Xdivy"
_TOTAL = "Abs Add AddV2 Identity Maximum Minimum Mul Neg Select SelectV2 Square Sub"


def _number_of(site: Site, kind: str, value: str, others: str | np.ndarray, dtype: Any) -> str:
    """For each number: of how many others, along their last axis, a comparison holds."""
    holds = site.make(kind, others, site.make("Unsqueeze", value, _LAST))
    return site.make("ReduceSum", site.cast(holds, dtype), _LAST, keepdims=0)


def _bucketize(site: Site) -> None:
    dtype = np.float64 if site.dtype() == np.float64 else np.float32
    value = site.inputs[0] if site.dtype() == dtype else site.cast(site.inputs[0], dtype)
    boundaries = np.array(site.attribute("boundaries", []), dtype)
    site.finish("Identity", _number_of(site, "LessOrEqual", value, boundaries, np.int32))


def _search(kind: str, site: Site) -> None:
    """In rows [B, n] of sorted numbers, the places of others [B, m]."""
    rows = site.make("Unsqueeze", site.inputs[0], np.array([1]))
    found = _number_of(site, kind, site.inputs[1], rows, site.result_dtype())
    site.finish("Identity", found)


def _count(site: Site) -> None:
    """How often each whole number below a size is in a row, or whether it is."""
    size, weights = _count_size(site), site.shape(2)
    if size is None or weights is None or 0 not in weights:
        return
    result = site.result_dtype()
    numbers = np.arange(size, dtype=site.dtype())
    equal = site.make("Equal", site.make("Unsqueeze", site.inputs[0], _LAST), numbers)
    counts = site.make("ReduceSum", site.cast(equal, result), np.array([-2]), keepdims=0)
    if site.attribute("binary_output"):
        site.finish("Min", counts, np.ones((), result))
    else:
        site.finish("Identity", counts)


def _count_size(site: Site) -> int | None:
    """The size that is given, or min(most, max(least, …)) if that is the same for all numbers."""
    size = site.constant(1)
    if size is not None:
        return int(size)
    most, rest = _constant_and_other(site.node.inputs[1], "Minimum")
    least, _ = _constant_and_other(rest, "Maximum")
    return int(most) if most is not None and least is not None and least >= most else None


def _constant_and_other(node: Any, kind: str) -> tuple[np.ndarray | None, Any]:
    """The constant that an operator of two inputs takes, and what makes its other input."""
    if node is None or node.type != kind:
        return None, None
    constant, other = sorted(node.inputs, key=lambda source: not source.is_const())
    return (
        (constant.get_tensor_value(as_list=False), other) if constant.is_const() else (None, None)
    )


def _one_hot(site: Site) -> None:
    """A row of zeros for a number below 0, such as −1 for no class, where ONNX counts back."""
    depth, shape = site.constant(1), site.shape()
    if depth is None or shape is None or site.attribute("axis", -1) not in (-1, len(shape)):
        return
    places = np.arange(int(depth), dtype=site.dtype())
    equal = site.make("Equal", site.make("Unsqueeze", site.inputs[0], _LAST), places)
    site.finish("Where", equal, *site.inputs[2:])


def _floor_mod(site: Site) -> None:
    """The remainder of whole numbers with the sign of the divisor; tf2onnx keeps the other sign."""
    if _is_whole(site):
        site.finish("Mod", *site.inputs)


def _floor_div(site: Site) -> None:
    """The quotient of whole numbers rounded down, where ONNX rounds to zero."""
    if _is_whole(site):
        number, divisor = site.inputs
        exact = site.make("Sub", number, site.make("Mod", number, divisor))
        site.finish("Div", exact, divisor)


def _select(site: Site) -> None:
    """Have one number chosen rather than both multiplied by 0 or 1, if one may not be finite."""
    branches = site.node.inputs[1:]
    if site.is_of_layer and any(_may_be_infinite(branch) for branch in branches):
        site.node.set_attr("handles_nan", True)


def _may_be_infinite(node: Any, depth: int = 8) -> bool:
    """Whether pointwise operators make a tensor, and one of them has numbers without a result."""
    if node.type in _PARTIAL.split():
        return True
    follow = node.type in _TOTAL.split() and depth > 0
    return follow and any(_may_be_infinite(source, depth - 1) for source in node.inputs)


def _no_nan(kind: str, site: Site) -> None:
    """A product that is 0 where its first factor (MulNoNan: its second) is, whatever the other."""
    x, y = site.inputs
    zero = np.zeros((), site.dtype())
    if kind == "Xlog1py":
        y = site.make("Add", y, np.ones((), site.dtype()))
    factor = y if kind == "MulNoNan" else site.make("Log", y)
    is_zero = site.make("Equal", y if kind == "MulNoNan" else x, zero)
    site.finish("Where", is_zero, zero, site.make("Mul", x, factor))


def _sign_bit(site: Site) -> None:
    """The bits of a float32 as a whole number, of which only the sign is asked for."""
    takers = site.graph.find_output_consumers(site.node.output[0])
    if site.dtype() != np.float32 or not all(map(_takes_sign, takers)):
        return
    value, zero = site.inputs[0], np.zeros((), np.float32)
    below = site.make("Less", value, zero)
    # 1/−0 is −∞.
    negative = site.make("Or", below, site.make("Less", site.make("Reciprocal", value), zero))
    site.finish("Mul", site.cast(negative, np.int32), np.array(_SIGN))


def _takes_sign(node: Any) -> bool:
    constants = [source for source in node.inputs if source.is_const()]
    values = [source.get_tensor_value(as_list=False) for source in constants]
    return node.type == "BitwiseAnd" and any(np.all(value == _SIGN) for value in values)


def _is_whole(site: Site) -> bool:
    # The samplers' own numbers are never negative, except seeds, whose words are taken as they are.
    return site.dtype().kind == "i" and site.is_of_layer


RULES: dict[str, Rule] = {
    "Bitcast": _sign_bit,
    "Bucketize": _bucketize,
    "DenseBincount": _count,
    "FloorDiv": _floor_div,
    "FloorMod": _floor_mod,
    "LowerBound": partial(_search, "Less"),
    "OneHot": _one_hot,
    **dict.fromkeys(("Select", "SelectV2"), _select),
    **{kind: partial(_no_nan, kind) for kind in ("MulNoNan", "Xlog1py", "Xlogy")},
    "UpperBound": partial(_search, "LessOrEqual"),
}
