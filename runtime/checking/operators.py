"""The operators that exporters of networks on images write, and what each of them makes.

Names, inputs and attributes are those of ONNX's operator set 18. No sampler needs an operator that
is not here. Shapes are at most what onnxruntime makes (`sizes`); a shape that depends on numbers
that only a run will show is refused.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from . import GraphError
from .facts import Call, Fact
from .limits import MAX_RANK
from .sizes import (
    Rows,
    Shape,
    Size,
    bound,
    broadcast,
    count,
    divided,
    is_exact,
    is_size,
    least,
    product,
    require,
    smaller,
    total,
)
from .tensors import DTYPES
from .values import listed_sizes, values
from .windows import WINDOWS

# The shape of the output, a list of them where there may be several.
Rule = Callable[[Call], Shape | list[Shape]]

_FLOAT32, _INT64, _BOOL = np.dtype("<f4"), np.dtype("<i8"), np.dtype("?")
# What exporters write for "to the end".
_END = 10**9


def infer(call: Call) -> list[Fact]:
    """What is known of the outputs of a node of `RULES`; GraphError where it could not be run."""
    try:
        rule = RULES[call.kind](call)
        shapes = rule if isinstance(rule, list) else [rule]
        require(call.outputs <= len(shapes) and all(len(shape) <= MAX_RANK for shape in shapes))
        require(all(map(is_size, itertools.chain.from_iterable(shapes))))
        shapes = shapes[: call.outputs]
        dtype = _dtype(call)
        dtypes = [dtype, *[_INT64 if call.kind == "TopK" else dtype] * (len(shapes) - 1)]
        facts = [fact for fact in call.inputs if fact]
        constant = all(fact.constant for fact in facts)
        positive = call.kind == "Max" and any(map(_is_positive, facts))
        outputs = zip(dtypes, shapes, values(call, dtype, shapes), strict=True)
        return [Fact(*output, constant, positive) for output in outputs]
    except GraphError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise GraphError(f"has a node that cannot be run: {call}") from error


def _dtype(call: Call) -> np.dtype:
    """The type of the first output."""
    if call.kind == "Cast":
        return DTYPES[call.whole("to", 0)]
    if call.kind == "EyeLike" and "dtype" in call.attributes:
        return DTYPES[call.whole("dtype", 0)]
    if call.kind == "ConstantOfShape":
        value = call.attributes.get("value")
        return _FLOAT32 if value is None else value.dtype
    dtype = _RESULTS.get(call.kind, 0)
    return call.input(dtype).dtype if isinstance(dtype, int) else dtype


def _shapes(call: Call) -> list[Shape]:
    return [call.input(position).shape for position in range(len(call.inputs))]


def _quotient(call: Call) -> Shape:
    # By zero, or the least number by -1, the processor itself would end the process.
    if call.input().dtype.kind in "iu" and not _is_positive(call.input(1)):
        raise call.unfit("that divides whole numbers by what is not known to be above zero")
    return broadcast(_shapes(call))


def _is_positive(fact: Fact) -> bool:
    if fact.positive or fact.values is None:
        return fact.positive
    # A number of images that is multiplied may overflow to 0.
    return all(type(x) is int and x >= 1 for x in fact.values.flat)


def _axes(call: Call, rank: int, position: int) -> list[int] | None:
    """The axes that an input (or an attribute, for older operators) lists; None without it."""
    axes = call.known(position) if call.optional(position) else call.attributes.get("axes")
    if axes is not None:
        axes = [range(rank)[axis] for axis in axes]
        require(len(set(axes)) == len(axes))
    return axes


def _axis(call: Call, default: int = 0) -> int:
    """The attribute `axis`, counted from the front of the first input."""
    return range(len(call.input().shape))[call.whole("axis", default)]


def _without(shape: Sequence[Size], axes: Sequence[int]) -> Shape:
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _replaced(shape: Shape, axis: int, *sizes: Size) -> Shape:
    """The shape with other sizes, any number of them, in the place of one."""
    return (*shape[:axis], *sizes, *shape[axis + 1 :])


def _is(size: Size | None, number: int) -> bool:
    return type(size) is int and size == number


def _reduced(call: Call) -> Shape:
    shape = call.input().shape
    if call.kind.startswith("Arg"):
        axes = [_axis(call)]
    else:
        axes = _axes(call, len(shape), 1)
        if not axes and call.whole("noop_with_empty_axes", 0):
            return shape
        axes = axes or list(range(len(shape)))
    if not call.whole("keepdims", 1):
        return _without(shape, axes)
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def _reshape(call: Call) -> Shape:
    fact, sizes = call.input(), call.followed(1)
    if not call.whole("allowzero", 0):
        sizes = [fact.shape[k] if _is(size, 0) else size for k, size in enumerate(sizes)]
    unknown = [k for k, size in enumerate(sizes) if size is None or _is(size, -1)]
    others = _without(sizes, unknown)
    # In place of a size that is 0 when the graph is run, onnxruntime takes another.
    if len(unknown) > 1 or any(isinstance(size, Rows) and size.least < 1 for size in others):
        raise call.unfit("into a shape that is not computed of shapes and constants")
    elements, needed = product(fact.shape), product(others)
    if unknown:
        sizes[unknown[0]] = divided(elements, needed)
    else:
        require(not type(elements) is type(needed) is int or elements == needed)
    return tuple(sizes)


def _squeeze(call: Call) -> Shape:
    shape = call.input().shape
    axes = _axes(call, len(shape), 1) or []
    require(len(axes) > 0 and all(count(shape[axis]) == 1 for axis in axes))
    return _without(shape, axes)


def _unsqueeze(call: Call) -> Shape:
    shape = call.input().shape
    rank = len(shape) + len(call.known(1))
    axes, sizes = _axes(call, rank, 1) or [], iter(shape)
    return tuple(1 if axis in axes else next(sizes) for axis in range(rank))


def _flatten(call: Call) -> Shape:
    shape = call.input().shape
    axis = call.whole("axis", 1, -len(shape), len(shape))
    return (product(shape[:axis]), product(shape[axis:]))


def _transpose(call: Call) -> Shape:
    shape = call.input().shape
    order = call.attributes.get("perm") or range(len(shape))[::-1]
    require(sorted(order) == list(range(len(shape))))
    return tuple(shape[axis] for axis in order)


def _concat(call: Call) -> Shape:
    shapes, axis = _shapes(call), _axis(call)
    others = [_replaced(shape, axis, 1) for shape in shapes]
    require(len(set(map(len, others))) == 1)
    return _replaced(broadcast(others), axis, total(shape[axis] for shape in shapes))


def _split(call: Call) -> list[Shape]:
    shape, axis = call.input().shape, _axis(call)
    if call.optional(1):
        parts = call.sizes(1)
    else:
        number = call.whole("num_outputs", call.outputs, call.outputs, call.outputs)
        part = divided(shape[axis], number)
        parts = [part if is_exact(part) else bound(part)] * number
    return [_replaced(shape, axis, part) for part in parts]


def _slice(call: Call) -> Shape:
    shape = list(call.input().shape)
    starts, ends = call.followed(1), call.followed(2)
    axes = _axes(call, len(shape), 3)
    steps = call.followed(4) if call.optional(4) else [1] * len(starts)
    axes = range(len(starts)) if axes is None else axes
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        shape[axis] = _sliced(shape[axis], start, end, step)
    return tuple(shape)


def _sliced(size: Size, start: Size | None, end: Size | None, step: Size | None) -> Size:
    """How many of `size` elements are taken, or a bound on it."""
    fixed = [x for x in (size, start, end, step) if isinstance(x, int)]
    if len(fixed) == 4:
        return len(range(fixed[0])[fixed[1] : fixed[2] : fixed[3]])
    if _is(step, 1) and start is not None and end is not None:
        to_end = least(end) >= _END
        if _is(start, 0) and least(end) >= 0:
            return size if to_end else smaller(size, end)
        if count(start) < 0 and is_exact(start):
            # The last ones, as many as that.
            return smaller(size, -start if to_end else bound(-start))
    return bound(size)


def _gather_nd(call: Call) -> Shape:
    shape, indices = call.input().shape, call.input(1).shape
    batch = call.whole("batch_dims", 0, 0, min(len(shape), len(indices)) - 1)
    depth = indices[-1]
    require(isinstance(depth, int))
    return (*indices[:-1], *shape[batch + count(depth) :])


def _pad(call: Call) -> Shape:
    shape, pads = list(call.input().shape), call.known(1)
    axes = _axes(call, len(shape), 3)
    axes = range(len(shape)) if axes is None else axes
    pairs = zip(pads[: len(axes)], pads[len(axes) :], strict=True)
    for axis, (before, after) in zip(axes, pairs, strict=True):
        shape[axis] = total([shape[axis], max(0, before), max(0, after)])
    return tuple(shape)


def _one_hot(call: Call) -> Shape:
    indices = call.input().shape
    axis = range(len(indices) + 1)[call.whole("axis", -1)]
    return (*indices[:axis], *call.sizes(1), *indices[axis:])


def _range(call: Call) -> Shape:
    start, limit, step = (call.known(position)[0] for position in range(3))
    if isinstance(limit, Rows) and _is(start, 0) and _is(step, 1):
        return (limit,)
    return (max(0, -int(-((limit - start) / step) // 1)),)


def _eye_like(call: Call) -> Shape:
    rows, columns = call.input().shape
    return (rows, columns)


# Results of another type than the first input: this type, or the type of this input.
_RESULTS: dict[str, np.dtype | int] = {
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"), _BOOL),
    **dict.fromkeys(("IsInf", "IsNaN"), _BOOL),
    **dict.fromkeys(("ArgMax", "ArgMin", "Shape", "Size"), _INT64),
    "Where": 1,
    "OneHot": 2,
}

_LIKE_FIRST = """
Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization BitwiseNot Cast Ceil Celu Clip Cos Cosh
CumSum Elu Erf Exp Floor HardSigmoid HardSwish Identity InstanceNormalization IsInf IsNaN LRN
LayerNormalization LeakyRelu Log LogSoftmax LpNormalization Mish Neg Not Reciprocal Relu
ReverseSequence Round ScatterElements ScatterND Selu Sigmoid Sign Sin Sinh Softmax Softplus Softsign
Sqrt Tan Tanh ThresholdedRelu Trilu
"""
_ELEMENTWISE = """
Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Equal Greater GreaterOrEqual Less LessOrEqual Max
Mean Min Mul Or PRelu Pow Sub Sum Where Xor
"""
_REDUCING = """
ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare
"""

RULES: dict[str, Rule] = {
    **dict.fromkeys(_LIKE_FIRST.split(), lambda call: call.input().shape),
    **dict.fromkeys(_ELEMENTWISE.split(), lambda call: broadcast(_shapes(call))),
    **dict.fromkeys(_REDUCING.split(), _reduced),
    **dict.fromkeys(("Div", "Mod"), _quotient),
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": lambda call: _replaced(call.input().shape, _axis(call), *call.input(1).shape),
    "GatherElements": lambda call: call.input(1).shape,
    "GatherND": _gather_nd,
    "Pad": _pad,
    "Tile": lambda call: tuple(map(product, zip(call.input().shape, call.sizes(1), strict=True))),
    "Expand": lambda call: broadcast([call.input().shape, tuple(call.sizes(1))]),
    "OneHot": _one_hot,
    "Range": _range,
    "ConstantOfShape": lambda call: tuple(call.sizes(0)),
    "Shape": lambda call: (len(listed_sizes(call)),),
    "Size": lambda _: (),
    "TopK": lambda call: [_replaced(call.input().shape, _axis(call, -1), *call.sizes(1))] * 2,
    "EyeLike": _eye_like,
    **WINDOWS,
}
