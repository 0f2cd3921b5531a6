"""The operators that exporters of networks on images write, and the shape of what each makes.

Names, inputs and attributes are those of ONNX's operator set 18. An operator that is not here is
none that a sampler needs. Shapes are of one image, as `sizes` has them, and are at most what
onnxruntime makes; a shape that hangs on numbers that only a run will show is refused.
"""

from collections.abc import Callable, Sequence

import numpy as np

from .facts import Call, Fact
from .size_arithmetic import result
from .sizes import Rows, bound, degree, divided, is_exact, larger, product, smaller, total
from .tensors import DTYPES, GraphError
from .windows import WINDOWS

Shape = tuple[int, ...]
Made = tuple[np.dtype, Shape]

_INT64, _BOOL = np.dtype("<i8"), np.dtype("?")


def infer(call: Call) -> list[Fact]:
    """What is known of the outputs of a node of `RULES`; GraphError where it could not be run."""
    try:
        return _inferred(call)
    except GraphError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise call.unfit("whose inputs or attributes are none that it could have") from error


def _inferred(call: Call) -> list[Fact]:
    made = RULES[call.kind](call)
    if call.outputs > len(made):
        raise call.unfit(f"of {call.outputs} outputs, expected {len(made)}")
    made = made[: call.outputs]
    dtypes, shapes = [dtype for dtype, _ in made], [shape for _, shape in made]
    constant = all(fact.constant for fact in call.inputs if fact)
    numbers = result(call, dtypes, shapes)
    positive = call.kind == "Max" and any(_is_positive(fact) for fact in call.inputs if fact)
    return [
        Fact(dtype, shape, known, constant, positive)
        for dtype, shape, known in zip(dtypes, shapes, numbers, strict=True)
    ]


def broadcast(call: Call, shapes: Sequence[Shape]) -> Shape:
    """The shape of an elementwise result, by the rules of NumPy."""
    made: Shape = ()
    for shape in shapes:
        if shape == made and [*map(type, shape)] == [*map(type, made)]:
            continue
        short, long = sorted((made, shape), key=len)
        short = (1,) * (len(long) - len(short)) + short
        for a, b in zip(short, long, strict=True):
            alike = a == b or 1 in (a, b) or degree(a) or degree(b)
            if not alike and is_exact(a) and is_exact(b):
                raise call.unfit(f"of tensors that do not fit: {_texts(shapes)}")
        made = tuple(larger(a, b) for a, b in zip(short, long, strict=True))
    return made


def _texts(shapes: Sequence[Shape]) -> str:
    return ", ".join(str([int(size) for size in shape]) for shape in shapes)


def _like_first(call: Call) -> list[Made]:
    fact = call.input(0)
    return [(fact.dtype, fact.shape)]


def _elementwise(dtype: np.dtype | None = None, like: int = 0) -> Callable[[Call], list[Made]]:
    def rule(call: Call) -> list[Made]:
        facts = [call.input(position) for position in range(len(call.inputs))]
        kind = dtype or call.input(like).dtype
        return [(kind, broadcast(call, [fact.shape for fact in facts]))]

    return rule


def _quotient(call: Call) -> list[Made]:
    # By zero, or the least number by -1, the processor itself would end the process.
    if call.input(0).dtype.kind in "iu" and not _is_positive(call.input(1)):
        raise call.unfit("that divides whole numbers by what is not known to be above zero")
    return _elementwise()(call)


def _is_positive(fact: Fact) -> bool:
    known = fact.values is not None and all(x is not None and x >= 1 for x in fact.values.flat)
    return fact.positive or known


def _cast(call: Call) -> list[Made]:
    dtype = DTYPES.get(call.whole("to", 0))
    if dtype is None:
        raise call.unfit(f"to the data type {call.whole('to', 0)}, expected a number type")
    return [(dtype, call.input(0).shape)]


def _axes(call: Call, rank: int, position: int, *, extra: int = 0) -> list[int] | None:
    """Axes that an input, or an attribute of older operators, gives; None where it is left out."""
    found = call.known(position) if call.optional(position) else call.wholes("axes")
    if found is None:
        return None
    axes = [call.axis(rank, int(axis), extra=extra) for axis in found]
    if len(set(axes)) < len(axes):
        raise call.unfit(f"of the axes {axes}, expected each once")
    return axes


def _reduced(dtype: np.dtype | None = None) -> Callable[[Call], list[Made]]:
    def rule(call: Call) -> list[Made]:
        fact = call.input(0)
        rank = len(fact.shape)
        if dtype is not None:  # ArgMax and ArgMin
            axes: list[int] | None = [call.axis(rank, call.whole("axis", 0))]
        else:
            axes = _axes(call, rank, 1)
            if not axes and call.whole("noop_with_empty_axes", 0):
                return _like_first(call)
            axes = axes or list(range(rank))
        kept = call.whole("keepdims", 1)
        shape = [1 if axis in axes else size for axis, size in enumerate(fact.shape)]
        if not kept:
            shape = [size for axis, size in enumerate(shape) if axis not in axes]
        return [(dtype or fact.dtype, tuple(shape))]

    return rule


def _reshape(call: Call) -> list[Made]:
    fact = call.input(0)
    sizes = call.followed(1)
    if not call.whole("allowzero", 0):
        for axis, size in enumerate(sizes):
            if size is not None and size == 0:
                if axis >= len(fact.shape):
                    raise call.unfit("that keeps a dimension which its input has not")
                sizes[axis] = fact.shape[axis]
    unknown = [axis for axis, size in enumerate(sizes) if size is None or size == -1]
    if len(unknown) > 1 or any(size is not None and size < -1 for size in sizes):
        raise call.unfit("into a shape that is not computed of shapes and constants")
    if unknown:
        part = product(size for axis, size in enumerate(sizes) if axis not in unknown)
        sizes[unknown[0]] = divided(fact.elements, part) or bound(fact.elements)
    elif type(fact.elements) is int and product(sizes) != fact.elements:
        raise call.unfit(f"of {fact.elements} numbers into the shape {list(map(int, sizes))}")
    return [(fact.dtype, tuple(sizes))]


def _sizes(call: Call, position: int) -> list[int]:
    """Sizes that an input asks for, all of them known and none below zero."""
    sizes = [int(x) if isinstance(x, float) else x for x in call.known(position)]
    if any(size < 0 for size in sizes):
        raise call.unfit(f"of a negative size: {[int(size) for size in sizes]}")
    return sizes


def _squeeze(call: Call) -> list[Made]:
    fact = call.input(0)
    axes = _axes(call, len(fact.shape), 1)
    if axes is None:
        axes = [axis for axis, size in enumerate(fact.shape) if type(size) is int and size == 1]
    kept = tuple(size for axis, size in enumerate(fact.shape) if axis not in axes)
    return [(fact.dtype, kept)]


def _unsqueeze(call: Call) -> list[Made]:
    fact = call.input(0)
    count = len(call.known(1))
    axes = _axes(call, len(fact.shape), 1, extra=count) or []
    sizes = iter(fact.shape)
    rank = len(fact.shape) + count
    return [(fact.dtype, tuple(1 if axis in axes else next(sizes) for axis in range(rank)))]


def _flatten(call: Call) -> list[Made]:
    fact = call.input(0)
    axis = call.axis(len(fact.shape), call.whole("axis", 1), extra=1)
    return [(fact.dtype, (product(fact.shape[:axis]), product(fact.shape[axis:])))]


def _transpose(call: Call) -> list[Made]:
    fact = call.input(0)
    rank = len(fact.shape)
    order = call.wholes("perm") or list(range(rank))[::-1]
    if sorted(order) != list(range(rank)):
        raise call.unfit(f"of the order {order[:9]}, expected each of {rank} axes once")
    return [(fact.dtype, tuple(fact.shape[axis] for axis in order))]


def _concat(call: Call) -> list[Made]:
    facts = [call.input(position) for position in range(len(call.inputs))]
    rank = len(facts[0].shape)
    axis = call.axis(rank, call.whole("axis", 0))
    if any(len(fact.shape) != rank for fact in facts):
        raise call.unfit("of tensors of different ranks")
    shape = [
        total(sizes) if place == axis else _largest(sizes)
        for place, sizes in enumerate(zip(*(fact.shape for fact in facts), strict=True))
    ]
    return [(facts[0].dtype, tuple(shape))]


def _largest(sizes: Sequence[int]) -> int:
    first, *others = sizes
    for size in others:
        first = larger(first, size)
    return first


def _split(call: Call) -> list[Made]:
    fact = call.input(0)
    axis = call.axis(len(fact.shape), call.whole("axis", 0))
    if call.optional(1):
        parts = _sizes(call, 1)
    else:
        count = call.whole("num_outputs", call.outputs)
        if count != call.outputs:
            raise call.unfit(f"into {count} parts with {call.outputs} outputs")
        part = divided(fact.shape[axis], count) or bound(fact.shape[axis])
        parts = [part] * count
    return [(fact.dtype, (*fact.shape[:axis], part, *fact.shape[axis + 1 :])) for part in parts]


def _slice(call: Call) -> list[Made]:
    fact = call.input(0)
    shape = list(fact.shape)
    starts, ends = call.followed(1), call.followed(2)
    axes = _axes(call, len(shape), 3)
    steps = call.followed(4) if call.optional(4) else [1] * len(starts)
    axes = list(range(len(starts))) if axes is None else axes
    if not len(starts) == len(ends) == len(axes) == len(steps) or len(axes) > len(shape):
        raise call.unfit("whose starts, ends, axes and steps do not fit")
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        shape[axis] = _sliced(shape[axis], start, end, step)
    return [(fact.dtype, tuple(shape))]


# What exporters write for "to the end".
_END = 10**9


def _sliced(size: int, start: int | None, end: int | None, step: int | None) -> int:
    """How many of `size` elements are taken, or a bound on it."""
    if all(type(x) is int for x in (size, start, end, step)):
        return len(range(size)[slice(start, end, step or 1)])
    if step == 1 and start == 0 and end is not None and end >= _END:
        return size
    most = size
    if step == 1 and start == 0 and end is not None and end >= 0:
        most = end
    elif step == 1 and start is not None and start < 0 and end is not None:
        # The last ones, as many as that.
        most = Rows(-int(start), degree(start), is_exact(start) and int(end) >= _END)
    exact = most is not size and is_exact(most) and degree(most) == degree(size)
    found = smaller(size, most)
    return found if exact and is_exact(found) else bound(found)


def _gather(call: Call) -> list[Made]:
    fact, indices = call.input(0), call.input(1)
    axis = call.axis(len(fact.shape), call.whole("axis", 0))
    return [(fact.dtype, (*fact.shape[:axis], *indices.shape, *fact.shape[axis + 1 :]))]


def _gather_elements(call: Call) -> list[Made]:
    return [(call.input(0).dtype, call.input(1).shape)]


def _gather_nd(call: Call) -> list[Made]:
    fact, indices = call.input(0), call.input(1)
    batch = call.whole("batch_dims", 0)
    least = min(len(fact.shape), len(indices.shape))
    if not 0 <= batch < least or degree(indices.shape[-1]):
        raise call.unfit(f"of batch_dims={batch}, expected 0 to {least - 1}")
    depth = batch + indices.shape[-1]
    return [(fact.dtype, (*indices.shape[:-1], *fact.shape[depth:]))]


def _pad(call: Call) -> list[Made]:
    fact = call.input(0)
    pads = call.known(1)
    axes = _axes(call, len(fact.shape), 3)
    axes = list(range(len(fact.shape))) if axes is None else axes
    if len(pads) != 2 * len(axes):
        raise call.unfit(f"of {len(pads)} pads for {len(axes)} axes")
    shape = list(fact.shape)
    for place, axis in enumerate(axes):
        both = [max(0, pad) for pad in (pads[place], pads[place + len(axes)])]
        shape[axis] = total([shape[axis], *both])
    return [(fact.dtype, tuple(shape))]


def _tile(call: Call) -> list[Made]:
    fact, repeats = call.input(0), _sizes(call, 1)
    if len(repeats) != len(fact.shape):
        raise call.unfit(f"of {len(repeats)} repeats for {len(fact.shape)} axes")
    shape = (product(pair) for pair in zip(fact.shape, repeats, strict=True))
    return [(fact.dtype, tuple(shape))]


def _expand(call: Call) -> list[Made]:
    fact = call.input(0)
    return [(fact.dtype, broadcast(call, [fact.shape, tuple(_sizes(call, 1))]))]


def _one_hot(call: Call) -> list[Made]:
    indices = call.input(0).shape
    (depth,) = _sizes(call, 1)[:1] or [0]
    axis = call.axis(len(indices), call.whole("axis", -1), extra=1)
    return [(call.input(2).dtype, (*indices[:axis], depth, *indices[axis:]))]


def _range(call: Call) -> list[Made]:
    start, limit, step = (call.known(position)[0] for position in range(3))
    if not step or any(map(degree, (start, limit, step))):
        raise call.unfit("of a size that is not computed of shapes and constants")
    count = max(0, -int(-((limit - start) / step) // 1))
    return [(call.input(0).dtype, (count,))]


def _constant_of_shape(call: Call) -> list[Made]:
    value = call.attributes.get("value")
    dtype = DTYPES[value["t"]["data_type"]] if value and "t" in value else np.dtype("<f4")
    return [(dtype, tuple(_sizes(call, 0)))]


def _shape(call: Call) -> list[Made]:
    start, end = call.whole("start", 0), call.whole("end", 64)
    return [(_INT64, (len(call.input(0).shape[start:end]),))]


def _eye_like(call: Call) -> list[Made]:
    fact = call.input(0)
    dtype = DTYPES.get(call.whole("dtype", 0)) if "dtype" in call.attributes else fact.dtype
    if dtype is None or len(fact.shape) != 2:
        raise call.unfit(f"of {len(fact.shape)} dimensions, expected 2 and a number type")
    return [(dtype, fact.shape)]


def _top_k(call: Call) -> list[Made]:
    fact = call.input(0)
    (count,) = _sizes(call, 1)[:1] or [0]
    axis = call.axis(len(fact.shape), call.whole("axis", -1))
    shape = (*fact.shape[:axis], count, *fact.shape[axis + 1 :])
    return [(fact.dtype, shape), (_INT64, shape)]


RULES: dict[str, Callable[[Call], list[Made]]] = {
    **dict.fromkeys(
        (
            *("Abs", "Neg", "Ceil", "Floor", "Round", "Sign", "Identity", "Clip", "Not"),
            *("Sqrt", "Reciprocal", "Exp", "Log", "Erf", "BitwiseNot", "CumSum", "Trilu"),
            *("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh"),
            *("Asinh", "Acosh", "Atanh", "Sigmoid", "HardSigmoid", "HardSwish", "Mish"),
            *("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Softplus"),
            *("Softsign", "Softmax", "LogSoftmax", "BatchNormalization", "LpNormalization"),
            *("InstanceNormalization", "LayerNormalization", "ScatterND", "ScatterElements"),
            *("ReverseSequence", "LRN"),
        ),
        _like_first,
    ),
    **dict.fromkeys(("IsNaN", "IsInf"), lambda call: [(_BOOL, call.input(0).shape)]),
    **dict.fromkeys(
        (
            *("Add", "Sub", "Mul", "Pow", "Min", "Max", "Sum", "Mean", "PRelu", "BitShift"),
            *("And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor"),
        ),
        _elementwise(),
    ),
    **dict.fromkeys(
        ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"), _elementwise(_BOOL)
    ),
    "Where": _elementwise(like=1),
    **dict.fromkeys(("Div", "Mod"), _quotient),
    "Cast": _cast,
    **dict.fromkeys(
        (
            *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"),
            *("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
        ),
        _reduced(),
    ),
    **dict.fromkeys(("ArgMax", "ArgMin"), _reduced(_INT64)),
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Pad": _pad,
    "Tile": _tile,
    "Expand": _expand,
    "OneHot": _one_hot,
    "Range": _range,
    "ConstantOfShape": _constant_of_shape,
    "Shape": _shape,
    "Size": lambda _: [(_INT64, ())],
    "TopK": _top_k,
    "EyeLike": _eye_like,
    **WINDOWS,
}
