"""Matrix products of values as they lie, for `layout_rules`."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import onnx

from .layout import Layout

_LETTERS = "ABCDEFGHIJ"

# fmt: off
POINTWISE = (
    "Abs", "Add", "Cast", "Ceil", "Clip", "Cos", "Div", "Elu", "Erf", "Exp", "Floor", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal",
    "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub",
    "Tanh", "ThresholdedRelu",
)
# fmt: on


def matrix_product(layout: Layout, node: onnx.NodeProto) -> bool:
    """A product with constant weights, over channels wherever they lie, or of two values."""
    left, right = node.input
    if right not in layout.constants:
        shapes = [layout.shapes.get(name, ()) for name in node.input]
        rank = len(shapes[0])
        if rank < 3 or shapes[0][:-2] != shapes[1][:-2] or not layout.moved(node.input):
            return False
        batch = _LETTERS[: rank - 2]
        return _summed(layout, node, f"{batch}qc,{batch}ck->{batch}qk")
    weights = layout.constants[right]
    source, value = layout.rows.get(left, left), node.output[0]
    if weights.ndim != 2 or source not in layout.shapes:
        return False
    if left in layout.rows:
        layout.rows[value] = f"{value}/unflattened"
        value = layout.rows[value]
        layout.shapes[value] = (*layout.shapes[source][:-1], weights.shape[1])
    stored = layout.lying(source)
    if stored.order == (0, 2, 1):  # tokens with channels first
        layout.make("MatMul", [layout.constant(weights.T, value), stored.name], value, stored.order)
    elif stored.order == (0, 2, 3, 1):  # images
        kernel = layout.constant(weights.T[:, :, None, None], value)
        layout.make("Conv", [stored.name, kernel], value, stored.order, kernel_shape=[1, 1])
    else:
        layout.append("MatMul", [layout.settled(source), right], value)
    return True


def einsum(layout: Layout, node: onnx.NodeProto) -> bool:
    """An Einsum of two values, as a matrix product."""
    return _summed(layout, node, node.attribute[0].s.decode())


def _summed(layout: Layout, node: onnx.NodeProto, equation: str) -> bool:
    """A sum over letters of two values as one matrix product.

    Its factors are transposed as it needs them, which onnxruntime does inside of the product. The
    result has its positions behind its channels where those came from such a factor.
    """
    terms, _, axes = equation.replace(" ", "").partition("->")
    factors, value = terms.split(","), node.output[0]
    values = [*node.input, value]
    if len(factors) != 2 or not all(map(partial(_has_axes, layout), values, [*factors, axes])):
        return False
    both = set(factors[0]) & set(factors[1])
    batch = [letter for letter in axes if letter in both]
    over = "".join(letter for letter in factors[0] if letter in both and letter not in axes)
    if set(terms) - {",", *over} != set(axes) or not over:
        return False
    lying = [_letters(layout, *pair) for pair in zip(node.input, factors, strict=True)]
    own = ["".join(letter for letter in letters if letter not in both) for letters in lying]
    if not all(own):
        return False
    rows, columns = (0, 1) if axes[-1] in factors[1] else (1, 0)
    if lying[columns][-1] != axes[-1] and not _is_reduced(layout, value):
        rows, columns = columns, rows
    left, right = (
        _grouped(layout, node.input[side], factors[side], [*batch, *matrix], f"{value}/{side}")
        for side, matrix in ((rows, (own[rows], over)), (columns, (over, own[columns])))
    )
    result = "".join((*batch, own[rows], own[columns]))
    order = tuple(map(result.index, axes))
    if len(result) == len(batch) + 2:
        layout.make("MatMul", [left, right], value, order)
        return True
    layout.append("MatMul", [left, right], f"{value}/product")
    sizes = dict(zip(axes, layout.shapes[value], strict=True))
    target = layout.target([sizes[letter] for letter in result], value)
    layout.make("Reshape", [f"{value}/product", target], value, order)
    return True


def _is_reduced(layout: Layout, value: str) -> bool:
    """Whether a value, or what pointwise operators make of it, is normalised or summed."""
    for node in layout.takers.get(value, ()):
        if node.op_type == "Softmax" or node.op_type.startswith("Reduce"):
            return True
        if node.op_type in (*POINTWISE, "Reshape") and _is_reduced(layout, node.output[0]):
            return True
    return False


def _has_axes(layout: Layout, value: str, letters: str) -> bool:
    """Whether a value has exactly these axes, all different, at most one of them of free size."""
    shape = layout.shapes.get(value)
    if shape is None or shape.count(None) > 1:
        return False
    return len(set(letters)) == len(letters) == len(shape)


def _letters(layout: Layout, value: str, axes: str) -> str:
    """The axes of a value as it lies."""
    return "".join(axes[i] for i in np.argsort(layout.lying(value).order))


def _grouped(layout: Layout, value: str, axes: str, groups: Sequence[str], output: str) -> str:
    """The name of a tensor that holds a value with one axis for each group of its axes.

    A Transpose comes last, next to the product, which takes it in.
    """
    name, lying = layout.lying(value).name, _letters(layout, value, axes)
    together = sorted(groups, key=lambda group: lying.index(group[0]))
    apart = "".join(together)
    if apart != lying:
        layout.append("Transpose", [name], f"{output}/apart", perm=[*map(lying.index, apart)])
        name = f"{output}/apart"
    if len(groups) < len(axes):
        sizes = dict(zip(axes, layout.shapes[value], strict=True))
        merged = [math.prod(sizes[x] or 0 for x in group) or None for group in together]
        target = layout.target(merged, output)
        layout.append("Reshape", [name, target], f"{output}/together")
        name = f"{output}/together"
    if together != groups:
        layout.append("Transpose", [name], output, perm=[*map(together.index, groups)])
        name = output
    return name
