"""Transposes put off until something needs them, so that most of them are never made.

Images lie channels first in ONNX and channels last in Keras. Pointwise operators, and reshaping
that keeps channels apart from positions, take values as they lie; matrix products over channels
become 1×1 convolutions, and products of two computed tensors transpose their factors themselves.
"""

import math
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import onnx
from onnx import helper

from .layout import Layout, Shape, Stored
from .layout_products import POINTWISE, einsum, matrix_product

# The size of the batch, in products of sizes: a prime larger than any size of an image.
_FREE = 2**31 - 1


def without_transposes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with its Transposes put off; one that has graphs inside stays as it is."""
    copy = deepcopy(model)
    if any(attribute.HasField("g") for node in copy.graph.node for attribute in node.attribute):
        return copy
    layout = Layout(copy.graph)
    for node in copy.graph.node:
        rule = _RULES.get(node.op_type)
        if not (rule and rule(layout, node)):
            layout.add(node, [layout.settled(name) for name in node.input], list(node.output))
    for output in copy.graph.output:
        name = layout.settled(output.name)
        if name != output.name:
            layout.append("Identity", [name], output.name)
    del copy.graph.node[:], copy.graph.value_info[:]
    copy.graph.node.extend(layout.nodes)
    copy.graph.initializer.extend(layout.new_constants)
    return copy


def _transpose(layout: Layout, node: onnx.NodeProto) -> bool:
    if node.input[0] not in layout.shapes:
        return False
    source = layout.lying(node.input[0])
    backwards = range(len(source.order))[::-1]
    permutation = node.attribute[0].ints if node.attribute else backwards
    order = tuple(source.order[axis] for axis in permutation)
    layout.stored[node.output[0]] = Stored(source.name, order)
    return True


def _pointwise(layout: Layout, node: onnx.NodeProto) -> bool:
    moved = layout.moved(node.input)
    if not moved:
        return False
    order = moved[0].order
    inputs = [layout.lying_in(name, order) for name in node.input]
    if None in inputs or len(layout.shapes.get(node.output[0], ())) != len(order):
        return False
    layout.add(node, [name or "" for name in inputs], [layout.output(node.output[0], order)])
    return True


def _reshape(layout: Layout, node: onnx.NodeProto) -> bool:
    """Reshape a value as it lies, where axes that become one lie beside each other in order."""
    source, value = layout.rows.get(node.input[0], node.input[0]), node.output[0]
    before, after = layout.shapes.get(source), layout.shapes.get(value)
    if before is None or after is None or before.count(None) > 1:
        return False
    if len(after) == 2 < len(before) and _width(layout, value) == before[-1] is not None:
        layout.rows[value] = source
        return True
    stored, groups = layout.lying(source), _groups(before, after)
    if not groups:
        return False
    placed = sorted(([stored.order[axis] for axis in axes], targets) for axes, targets in groups)
    if any(places != [*range(places[0], places[0] + len(places))] for places, _ in placed):
        return False
    lying = [axis for _, targets in placed for axis in targets]
    order = tuple(lying.index(axis) for axis in range(len(after)))
    target = layout.target([after[axis] for axis in lying], value)
    layout.make("Reshape", [stored.name, target], value, order)
    return True


def _groups(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """Axes of two shapes that hold the same numbers, in the least groups; [] if there are none."""
    old, new = ([size or _FREE for size in shape] for shape in (before, after))
    if after.count(None) > 1 or math.prod(old) != math.prod(new) or not old or not new:
        return []
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) and j < len(new):
        left, right = i + 1, j + 1
        while difference := math.prod(old[i:left]) - math.prod(new[j:right]):
            left, right = (left + 1, right) if difference < 0 else (left, right + 1)
        groups.append(([*range(i, left)], [*range(j, right)]))
        i, j = left, right
    # What is left on either side has size 1.
    groups[-1][0].extend(range(i, len(old)))
    groups[-1][1].extend(range(j, len(new)))
    return groups


def _width(layout: Layout, matrix: str) -> int | None:
    """Columns of a matrix, as the weights that it meets have rows, or as known."""
    for node in layout.takers.get(matrix, ()):
        weights = layout.constants.get(node.input[-1])
        if node.op_type == "MatMul" and weights is not None and weights.ndim == 2:
            return len(weights)
    return layout.shapes[matrix][1]


def _along_axis(layout: Layout, node: onnx.NodeProto) -> bool:
    """Concat, Softmax and Split, of values that lie in one order."""
    moved = layout.moved(node.input[:1])
    if not moved:
        return False
    order, rank = moved[0].order, len(moved[0].order)
    values = list(node.input) if node.op_type == "Concat" else list(node.input[:1])
    inputs = [layout.lying_in(name, order) for name in values]
    default = 0 if node.op_type == "Split" else -1
    axis = next((a.i for a in node.attribute if a.name == "axis"), default)
    # Other kernels than the last axis's are slow.
    if None in inputs or (node.op_type == "Softmax" and order[axis] != rank - 1):
        return False
    outputs = [layout.output(name, order) for name in node.output]
    inputs = [*(name or "" for name in inputs), *node.input[len(values) :]]
    copy = layout.add(node, inputs, outputs)
    others = [attribute for attribute in node.attribute if attribute.name != "axis"]
    del copy.attribute[:]
    copy.attribute.extend([*others, helper.make_attribute("axis", order[axis])])
    return True


def _at_axes(layout: Layout, node: onnx.NodeProto) -> bool:
    """Slice and Squeeze, whose axes are an input."""
    place = 3 if node.op_type == "Slice" else 1
    moved, value = layout.moved(node.input[:1]), node.output[0]
    if not moved or len(node.input) <= place or node.input[place] not in layout.constants:
        return False
    left = moved[0].order
    axes = [left[axis] for axis in layout.constants[node.input[place]].tolist()]
    if node.op_type == "Squeeze":
        axes, left = sorted(axes), tuple(axis for axis in left if axis not in axes)
    order = tuple(sorted(left).index(axis) for axis in left)
    name = layout.constant(np.array(axes, np.int64), value)
    inputs = [moved[0].name, *node.input[1:place], name, *node.input[place + 1 :]]
    layout.add(node, inputs, [layout.output(value, order)])
    return True


_RULES: dict[str, Callable[[Layout, onnx.NodeProto], bool]] = {
    **dict.fromkeys(POINTWISE, _pointwise),
    **dict.fromkeys(("Concat", "Softmax", "Split"), _along_axis),
    "Einsum": einsum,
    "MatMul": matrix_product,
    "Reshape": _reshape,
    **dict.fromkeys(("Slice", "Squeeze"), _at_axes),
    "Transpose": _transpose,
}
