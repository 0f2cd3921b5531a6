"""The shapes that operators make which move windows over images or multiply matrices."""

import math
import re
from collections.abc import Callable, Sequence

import numpy as np

from .facts import Call, Fact
from .sizes import degree, larger, product

Made = tuple[np.dtype, tuple[int, ...]]

# Of a stride, a dilation or a block, in pixels: more than any network's.
_MAX_STEP = 64


def multiply_adds(call: Call, count: int) -> int:
    """What a node computes for one image, in multiply-adds; it makes `count` numbers first."""
    if call.kind == "Conv":
        weights = call.input(1).shape
        return count * math.prod(map(int, weights[1:]))
    if call.kind == "ConvTranspose":
        weights = call.input(1).shape
        return math.prod(map(int, call.input(0).shape)) * math.prod(map(int, weights[1:]))
    if call.kind in ("AveragePool", "MaxPool"):
        # Each comparison or sum by itself, without the vectors of a product of matrices.
        return 16 * count * math.prod(call.wholes("kernel_shape") or [])
    if call.kind in ("MatMul", "Gemm"):
        first = call.input(0).shape
        inner = first[-2] if call.kind == "Gemm" and call.whole("transA", 0) else first[-1]
        return count * int(inner)
    if call.kind == "Einsum":
        letters = dict(_einsum_sizes(call))
        return 16 * math.prod(map(int, letters.values()))
    return 4 * count


def _steps(call: Call, name: str, rank: int) -> list[int]:
    """Strides or dilations, 1 where they are left out."""
    steps = call.wholes(name) or [1] * rank
    if len(steps) != rank or not all(1 <= step <= _MAX_STEP for step in steps):
        raise call.unfit(f"of {name}={steps[:9]}, expected {rank} numbers from 1 to {_MAX_STEP}")
    return steps


def _windows(call: Call, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int], str]:
    """Strides, extents of the windows, and pads of both sides, of a convolution or a pool."""
    rank = len(kernel)
    strides, dilations = _steps(call, "strides", rank), _steps(call, "dilations", rank)
    if not all(size >= 1 for size in kernel):
        raise call.unfit(f"of the window {list(kernel)}, expected sizes from 1")
    extents = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    mode = call.text("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise call.unfit(f"of auto_pad={mode[:20]!r}")
    pads = call.wholes("pads") or [0] * (2 * rank)
    # More would be windows that hold nothing but margin.
    if len(pads) != 2 * rank or not all(
        0 <= pad < extent for pad, extent in zip(pads, extents * 2, strict=True)
    ):
        raise call.unfit(f"of pads={pads[:9]}, expected {2 * rank} numbers smaller than the window")
    return strides, extents, pads, mode


def _slid(call: Call, sizes: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """The sizes of what a window gives that slides over `sizes`."""
    strides, extents, pads, mode = _windows(call, kernel)
    rank, made = len(kernel), []
    for axis, size in enumerate(sizes):
        stride, extent = strides[axis], extents[axis]
        if degree(size):
            raise call.unfit("of a window that slides over the number of images")
        if mode.startswith("SAME"):
            made.append(-(-int(size) // stride))
            continue
        margin = pads[axis] + pads[axis + rank] if mode == "NOTSET" else 0
        room = int(size) + margin - extent
        if room < 0:
            raise call.unfit(f"of a window of {extent} on {int(size)} pixels")
        rounded = -(-room // stride) if call.whole("ceil_mode", 0) else room // stride
        made.append(1 + rounded)
    return made


def _image(call: Call, position: int = 0) -> Fact:
    fact = call.input(position)
    if len(fact.shape) < 3:
        raise call.unfit(f"of {len(fact.shape)} dimensions, expected at least 3")
    return fact


def _groups(call: Call, channels: int, weights: tuple[int, ...]) -> int:
    group = call.whole("group", 1)
    if group < 1 or channels % group or any(map(degree, weights)):
        raise call.unfit(f"of group={group} for {int(channels)} channels")
    return group


def _kernel(call: Call, fact: Fact, weights: Fact) -> list[int]:
    kernel = list(weights.shape[2:])
    if len(weights.shape) != len(fact.shape) or (call.wholes("kernel_shape") or kernel) != kernel:
        raise call.unfit(
            f"of weights {list(weights.shape)} and kernel_shape={call.wholes('kernel_shape')} on "
            f"an image of {len(fact.shape)} dimensions"
        )
    return kernel


def _convolution(call: Call) -> list[Made]:
    fact, weights = _image(call), call.input(1)
    kernel = _kernel(call, fact, weights)
    group = _groups(call, fact.shape[1], weights.shape)
    if weights.shape[1] * group != fact.shape[1] or weights.shape[0] % group:
        raise call.unfit(
            f"of weights {list(weights.shape)} on {int(fact.shape[1])} channels in {group} groups"
        )
    sizes = _slid(call, fact.shape[2:], kernel)
    return [(fact.dtype, (fact.shape[0], weights.shape[0], *sizes))]


def _transposed_convolution(call: Call) -> list[Made]:
    fact, weights = _image(call), call.input(1)
    kernel = _kernel(call, fact, weights)
    group = _groups(call, fact.shape[1], weights.shape)
    if weights.shape[0] != fact.shape[1]:
        raise call.unfit(f"of weights {list(weights.shape)} on {int(fact.shape[1])} channels")
    strides, extents, pads, mode = _windows(call, kernel)
    rank = len(kernel)
    more = call.wholes("output_padding") or [0] * rank
    asked = call.wholes("output_shape")
    if len(more) != rank or not all(0 <= x < _MAX_STEP for x in more):
        raise call.unfit(f"of output_padding={more[:9]}")
    made = []
    for axis, size in enumerate(fact.shape[2:]):
        if degree(size):
            raise call.unfit("of a window that slides over the number of images")
        full = (int(size) - 1) * strides[axis] + extents[axis] + more[axis]
        if mode == "NOTSET" and not asked:
            full -= pads[axis] + pads[axis + rank]
        elif mode.startswith("SAME") and not asked:
            full = int(size) * strides[axis]
        if asked:
            wanted = asked[-rank:][axis] if len(asked) >= rank else 0
            if not 1 <= wanted <= full:
                raise call.unfit(f"of output_shape={asked[:9]}, expected at most {full}")
            full = wanted
        if full < 1:
            raise call.unfit(f"that makes {full} pixels")
        made.append(full)
    return [(fact.dtype, (fact.shape[0], weights.shape[1] * group, *made))]


def _pool(call: Call) -> list[Made]:
    fact = _image(call)
    kernel = call.wholes("kernel_shape") or []
    if len(kernel) != len(fact.shape) - 2:
        raise call.unfit(f"of kernel_shape={kernel[:9]} on {len(fact.shape)} dimensions")
    return [(fact.dtype, (*fact.shape[:2], *_slid(call, fact.shape[2:], kernel)))]


def _global_pool(call: Call) -> list[Made]:
    fact = _image(call)
    return [(fact.dtype, (*fact.shape[:2], *(1 for _ in fact.shape[2:])))]


def _resize(call: Call) -> list[Made]:
    fact = call.input(0)
    axes = call.wholes("axes")
    places = (
        list(range(len(fact.shape)))
        if axes is None
        else [call.axis(len(fact.shape), axis) for axis in axes]
    )
    scales, sizes = call.optional(2), call.optional(3)
    shape = list(fact.shape)
    if sizes is not None:
        asked = call.known(3)
    elif scales is not None:
        asked = _scaled(call, [shape[axis] for axis in places])
    else:
        raise call.unfit("without sizes or scales")
    if len(asked) != len(places) or any(size < 0 for size in asked):
        raise call.unfit(f"to {list(map(int, asked))[:9]}, expected a size for each axis")
    for axis, size in zip(places, asked, strict=True):
        shape[axis] = size
    return [(fact.dtype, tuple(shape))]


def _scaled(call: Call, sizes: Sequence[int]) -> list[int]:
    factors = [float(factor) for factor in call.known(2)]
    if len(factors) != len(sizes) or not all(0 < factor < math.inf for factor in factors):
        raise call.unfit(f"by {factors[:9]}, expected a factor above 0 for each axis")
    if any(degree(size) and factor != 1 for size, factor in zip(sizes, factors, strict=True)):
        raise call.unfit("that changes the number of images")
    return [
        size if factor == 1 else math.floor(size * factor)
        for size, factor in zip(sizes, factors, strict=True)
    ]


def _block(call: Call) -> int:
    size = call.whole("blocksize", 0)
    if not 1 <= size <= _MAX_STEP or len(call.input(0).shape) != 4:
        raise call.unfit(f"of blocksize={size}, expected 1 to {_MAX_STEP} and 4 dimensions")
    return size


def _depth_to_space(call: Call) -> list[Made]:
    fact, size = call.input(0), _block(call)
    rows, channels, height, width = fact.shape
    if channels % (size * size):
        raise call.unfit(f"of blocksize={size} on {int(channels)} channels")
    made = (rows, channels // (size * size), product([height, size]), product([width, size]))
    return [(fact.dtype, made)]


def _space_to_depth(call: Call) -> list[Made]:
    fact, size = call.input(0), _block(call)
    rows, channels, height, width = fact.shape
    if any(degree(x) or x % size for x in (height, width)):
        raise call.unfit(f"of blocksize={size} on {int(height)} by {int(width)} pixels")
    made = (rows, product([channels, size, size]), height // size, width // size)
    return [(fact.dtype, made)]


def _matrix_product(call: Call) -> list[Made]:
    a, b = call.input(0), call.input(1)
    if not a.shape or not b.shape:
        raise call.unfit("of a number, expected matrices")
    left = a.shape if len(a.shape) > 1 else (1, *a.shape)
    right = b.shape if len(b.shape) > 1 else (*b.shape, 1)
    if int(left[-1]) != int(right[-2]):
        raise call.unfit(f"of {list(map(int, a.shape))} and {list(map(int, b.shape))}")
    outer = [1] * abs(len(left) - len(right))
    stacks = (
        [*outer, *left[:-2]] if len(left) < len(right) else left[:-2],
        [*outer, *right[:-2]] if len(right) < len(left) else right[:-2],
    )
    made = [larger(x, y) for x, y in zip(*stacks, strict=True)]
    made += [left[-2]] if len(a.shape) > 1 else []
    made += [right[-1]] if len(b.shape) > 1 else []
    return [(a.dtype, tuple(made))]


def _general_product(call: Call) -> list[Made]:
    a, b = call.input(0), call.input(1)
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise call.unfit("of tensors that are no matrices")
    rows, inner = a.shape[::-1] if call.whole("transA", 0) else a.shape
    other, columns = b.shape[::-1] if call.whole("transB", 0) else b.shape
    if int(inner) != int(other):
        raise call.unfit(f"of {list(map(int, a.shape))} and {list(map(int, b.shape))}")
    return [(a.dtype, (rows, columns))]


_EQUATION = re.compile(r"[a-zA-Z]{0,8}(,[a-zA-Z]{0,8}){0,3}->[a-zA-Z]{0,8}")


def _einsum_sizes(call: Call) -> list[tuple[str, int]]:
    """Each letter of the equation with its size."""
    equation = call.text("equation", "").replace(" ", "")
    if not _EQUATION.fullmatch(equation):
        raise call.unfit(f"of the equation {equation[:40]!r}, expected one like 'ab,bc->ac'")
    terms = equation.split("->")[0].split(",")
    sizes: dict[str, int] = {}
    if len(terms) != len(call.inputs):
        raise call.unfit(f"of the equation {equation!r} for {len(call.inputs)} tensors")
    for position, term in enumerate(terms):
        shape = call.input(position).shape
        if len(term) != len(shape):
            raise call.unfit(f"of the equation {equation!r} for {len(shape)} dimensions")
        for letter, size in zip(term, shape, strict=True):
            sizes[letter] = larger(sizes.get(letter, 1), size)
    made = equation.split("->")[1]
    if len(set(made)) < len(made) or not set(made) <= set(sizes):
        raise call.unfit(f"of the equation {equation!r}, whose result is not of its terms")
    return list(sizes.items())


def _einsum(call: Call) -> list[Made]:
    sizes = dict(_einsum_sizes(call))
    made = call.text("equation", "").replace(" ", "").split("->")[1]
    return [(call.input(0).dtype, tuple(sizes[letter] for letter in made))]


WINDOWS: dict[str, Callable[[Call], list[Made]]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    **dict.fromkeys(("AveragePool", "MaxPool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    "Resize": _resize,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "MatMul": _matrix_product,
    "Gemm": _general_product,
    "Einsum": _einsum,
}
