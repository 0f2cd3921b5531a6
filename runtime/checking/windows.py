"""The shapes that operators make which move windows over images or multiply matrices."""

import math
import operator
import re
from collections.abc import Callable, Sequence

from .facts import Call
from .sizes import Shape, Size, broadcast, broadcast_size, count, product, require

# Of a stride, a dilation or a block, in pixels: more than any network's.
_MAX_STEP = 64
# How far a convolution's margin may reach beyond its window, in pixels. Windows of margin alone
# give the bias, and the limits on memory and work count them. In pools onnxruntime refuses them.
_MAX_MARGIN = 1024
_EQUATION = re.compile(r"([a-zA-Z]{0,8}(?:,[a-zA-Z]{0,8}){0,3})->([a-zA-Z]{0,8})")


def multiply_adds(call: Call, elements: int) -> int:
    """What a node computes for one image; `elements` is how many numbers it makes first."""
    if call.kind == "Conv":
        return elements * count(product(call.input(1).shape[1:]))
    if call.kind == "ConvTranspose":
        return count(product((*call.input().shape, *call.input(1).shape[1:])))
    if call.kind in ("AveragePool", "MaxPool"):
        # Each comparison or sum by itself, without the vectors of a product of matrices.
        return 16 * elements * math.prod(call.attributes["kernel_shape"])
    if call.kind in ("MatMul", "Gemm"):
        transposed = call.kind == "Gemm" and call.whole("transA", 0)
        return elements * count(call.input().shape[-2 if transposed else -1])
    if call.kind == "Einsum":
        return 16 * count(product(_einsum_sizes(call)[0].values()))
    return 4 * elements


def _fixed(sizes: Sequence[Size]) -> list[int]:
    """The same sizes, which must not depend on the number of images."""
    fixed = [size for size in sizes if isinstance(size, int)]
    require(len(fixed) == len(sizes))
    return fixed


def _windows(
    call: Call, kernel: Sequence[Size], *, pools: bool = False
) -> list[tuple[int, int, int]]:
    """By axis: the stride and extent of a window, and what is added to the ends of the axis."""
    rank, sizes = len(kernel), _fixed(kernel)
    # Exporters that know the sizes of images write the margins themselves.
    require(min(sizes) >= 1 and call.attributes.get("auto_pad", "NOTSET") == "NOTSET")
    strides = call.wholes("strides", [1] * rank, 1, _MAX_STEP)
    dilations = call.wholes("dilations", [1] * rank, 1, _MAX_STEP)
    extents = [(size - 1) * step + 1 for size, step in zip(sizes, dilations, strict=True)]
    most = [size - 1 for size in sizes] if pools else [size + _MAX_MARGIN for size in extents]
    pads = call.wholes("pads", [0] * (2 * rank), 0, max(most))
    require(all(pad <= limit for pad, limit in zip(pads, most * 2, strict=True)))
    return list(zip(strides, extents, map(operator.add, pads, pads[rank:]), strict=False))


def _slid(call: Call, kernel: Sequence[Size], *, pools: bool = False) -> list[int]:
    """The size of what a window makes that slides over the input."""
    up = call.whole("ceil_mode", 0, 0, 1)
    axes = zip(_fixed(call.input().shape[2:]), _windows(call, kernel, pools=pools), strict=True)
    rooms = [(size + margin - extent, stride) for size, (stride, extent, margin) in axes]
    require(all(room >= 0 for room, _ in rooms))
    return [1 + (room + up * (stride - 1)) // stride for room, stride in rooms]


def _weights(call: Call) -> tuple[list[int], int]:
    """The shape of a convolution's weights, and in how many groups its channels are."""
    shape, weights = call.input().shape, _fixed(call.input(1).shape)
    group = call.whole("group", 1, 1, 2**31)
    require(len(weights) == len(shape) and _fixed(shape[1:2])[0] % group == 0)
    require((call.attributes.get("kernel_shape") or weights[2:]) == weights[2:])
    return weights, group


def _convolution(call: Call) -> Shape:
    shape, (weights, group) = call.input().shape, _weights(call)
    require(weights[1] * group == shape[1] and weights[0] % group == 0)
    return (shape[0], weights[0], *_slid(call, weights[2:]))


def _transposed_convolution(call: Call) -> Shape:
    shape, (weights, group) = call.input().shape, _weights(call)
    require(weights[0] == shape[1] and not {"output_padding", "output_shape"} & {*call.attributes})

    axes = zip(_fixed(shape[2:]), _windows(call, weights[2:]), strict=True)
    sizes = [(size - 1) * stride + extent - margin for size, (stride, extent, margin) in axes]
    require(min(sizes) >= 1)
    return (shape[0], weights[1] * group, *sizes)


def _pool(call: Call) -> Shape:
    shape = call.input().shape
    kernel = call.wholes("kernel_shape", [0] * (len(shape) - 2), 1, 2**31)
    return (*shape[:2], *_slid(call, kernel, pools=True))


def _global_pool(call: Call) -> Shape:
    shape = call.input().shape
    require(len(shape) > 2)
    return (*shape[:2], *[1] * len(shape[2:]))


def _resize(call: Call) -> Shape:
    shape = list(call.input().shape)
    axes = [range(len(shape))[axis] for axis in call.attributes.get("axes") or range(len(shape))]
    sizes = call.sizes(3) if call.optional(3) else [None] * len(axes)
    factors = [1.0] * len(axes) if call.optional(3) else call.known(2)
    for axis, size, factor in zip(axes, sizes, factors, strict=True):
        require(0 < factor < math.inf)
        if size is not None:
            shape[axis] = size
        elif factor != 1:
            shape[axis] = math.floor(_fixed(shape[axis : axis + 1])[0] * factor)
    return tuple(shape)


def _depth_to_space(call: Call) -> Shape:
    rows, channels, height, width = call.input().shape
    side = call.whole("blocksize", 0, 1, _MAX_STEP)
    depth, rest = divmod(_fixed([channels])[0], side**2)
    require(rest == 0)
    return (rows, depth, product([height, side]), product([width, side]))


def _space_to_depth(call: Call) -> Shape:
    rows, channels, *pixels = call.input().shape
    side = call.whole("blocksize", 0, 1, _MAX_STEP)
    height, width = _fixed(pixels)
    require(height % side == width % side == 0)
    return (rows, product([channels, side, side]), height // side, width // side)


def _matrix_product(call: Call) -> Shape:
    # A vector is a matrix of one row, or of one column, which the result lacks.
    a, b = call.input().shape, call.input(1).shape
    left, right = a if len(a) > 1 else (1, *a), b if len(b) > 1 else (*b, 1)
    require(min(len(a), len(b)) > 0 and count(left[-1]) == count(right[-2]))
    stack = broadcast([left[:-2], right[:-2]])
    return (*stack, *left[-2:-1] * (len(a) > 1), *right[-1:] * (len(b) > 1))


def _general_product(call: Call) -> Shape:
    a, b = call.input().shape, call.input(1).shape
    rows, inner = a[::-1] if call.whole("transA", 0) else a
    other, columns = b[::-1] if call.whole("transB", 0) else b
    require(count(inner) == count(other))
    return (rows, columns)


def _einsum_sizes(call: Call) -> tuple[dict[str, Size], str]:
    """The size of each letter of the equation, and the letters of the result."""
    equation = _EQUATION.fullmatch(call.attributes["equation"].replace(" ", ""))
    terms, result = equation[1].split(","), equation[2]  # type: ignore[index]
    sizes: dict[str, Size] = {}
    for position, term in zip(range(len(call.inputs)), terms, strict=True):
        for letter, size in zip(term, call.input(position).shape, strict=True):
            sizes[letter] = broadcast_size(sizes.get(letter, 1), size)
    require(len(set(result)) == len(result) and set(result) <= set(sizes))
    return sizes, result


def _einsum(call: Call) -> Shape:
    sizes, result = _einsum_sizes(call)
    return tuple(sizes[letter] for letter in result)


WINDOWS: dict[str, Callable[[Call], Shape]] = {
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
