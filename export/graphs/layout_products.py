"""Matrix products of values as they lie, for `layout_rules`."""

import math
from functools import partial

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
    if not stored.channels_first:
        layout.append("MatMul", [layout.settled(source), right], value)
        return True
    if len(stored.order) == 3:
        turned = layout.constant(weights.T, value)
        layout.make("MatMul", [turned, stored.name], value, stored.order)
    else:
        kernel = layout.constant(weights.T[:, :, None, None], value)
        layout.make("Conv", [stored.name, kernel], value, stored.order, kernel_shape=[1, 1])
    return True


def einsum(layout: Layout, node: onnx.NodeProto) -> bool:
    """An Einsum of two values, as a matrix product."""
    return _summed(layout, node, node.attribute[0].s.decode())


def _summed(layout: Layout, node: onnx.NodeProto, equation: str) -> bool:
    """A sum over letters of two values as one matrix product.

    Its factors are transposed as it needs them, which onnxruntime does inside of the product. The
    result has its positions behind its channels where those came from such a factor.
    """
    taken, _, made = equation.replace(" ", "").partition("->")
    factors = taken.split(",")
    values = [*node.input, node.output[0]]
    if len(factors) != 2 or not all(map(partial(_has_axes, layout), values, [*factors, made])):
        return False
    first, second = (set(factor) for factor in factors)
    batch = [[letter] for letter in made if letter in first & second]
    over = [letter for letter in factors[0] if letter in second and letter not in made]
    if first ^ second != set(made) - (first & second) or not over:
        return False
    lying = [_letters(layout, *pair) for pair in zip(node.input, factors, strict=True)]
    own = [[x for x in letters if x in made and [x] not in batch] for letters in lying]
    if not all(own):
        return False
    rows, columns = (0, 1) if made[-1] in second else (1, 0)
    if lying[columns][-1] != made[-1] and not _is_reduced(layout, node.output[0]):
        rows, columns = columns, rows
    value = node.output[0]
    left, right = (
        _grouped(layout, node.input[side], factors[side], [*batch, *matrix], f"{value}/{side}")
        for side, matrix in ((rows, (own[rows], over)), (columns, (over, own[columns])))
    )
    result = [*(letter for (letter,) in batch), *own[rows], *own[columns]]
    order = tuple(map(result.index, made))
    if len(result) == len(batch) + 2:
        layout.make("MatMul", [left, right], value, order)
        return True
    layout.append("MatMul", [left, right], f"{value}/product")
    sizes = dict(zip(made, layout.shapes[value], strict=True))
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
    known = shape is not None and shape.count(None) <= 1
    return known and len(set(letters)) == len(letters) == len(shape or ())


def _letters(layout: Layout, value: str, axes: str) -> list[str]:
    """The axes of a value as it lies."""
    order = layout.lying(value).order
    return [axes[order.index(axis)] for axis in range(len(order))]


def _grouped(layout: Layout, value: str, axes: str, groups: list[list[str]], output: str) -> str:
    """The name of a tensor that holds a value with one axis for each group of its axes.

    A Transpose comes last, next to the product, which takes it in.
    """
    name, lying = layout.lying(value).name, _letters(layout, value, axes)
    together = sorted(groups, key=lambda group: lying.index(group[0]))
    wanted = [letter for group in together for letter in group]
    if wanted != lying:
        layout.append("Transpose", [name], f"{output}/apart", perm=[*map(lying.index, wanted)])
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
