"""Putting Transposes off changes no number, whatever the graph."""

import math

import numpy as np
from drawn_graphs import Graph, drawn_model, run_unoptimised
from hypothesis import given, settings
from hypothesis import strategies as st

from diffkiln.export.graphs.rewriting.layout_rules import without_transposes


def transpose(graph: Graph) -> None:
    name = graph.value()
    shape = graph.shapes[name]
    order = (0, *graph.draw(st.permutations(range(1, len(shape)))))
    graph.add("Transpose", [name], tuple(shape[i] for i in order), perm=order)


def reshape(graph: Graph) -> None:
    name = graph.value()
    numbers, sizes = math.prod(graph.shapes[name]), []
    while numbers > 1 and len(sizes) < 4:
        factors = [n for n in range(2, numbers + 1) if numbers % n == 0]
        sizes.append(graph.draw(st.sampled_from([*factors, 1])))
        numbers //= sizes[-1]
    sizes.append(numbers)
    target = graph.constant(np.array([-1, *sizes], np.int64))
    graph.add("Reshape", [name, target], (1, *sizes))


def rows(graph: Graph) -> None:
    """A matrix product of rows, as Dense layers have it, and the image of its rows."""
    name = graph.value(3)
    shape, width = graph.shapes[name], graph.draw(st.integers(1, 5))
    flat = graph.constant(np.array([-1, shape[-1]], np.int64))
    graph.add("Reshape", [name, flat], (math.prod(shape[:-1]), shape[-1]))
    flat_name = f"v{len(graph.nodes) - 1}"
    graph.add("MatMul", [flat_name, graph.weights(shape[-1], width)], (-1, width))
    target = graph.constant(np.array([-1, *shape[1:-1], width], np.int64))
    graph.add("Reshape", [f"v{len(graph.nodes) - 1}", target], (*shape[:-1], width))
    for matrix in (flat_name, f"v{len(graph.nodes) - 2}"):
        del graph.shapes[matrix]


def dense(graph: Graph) -> None:
    name = graph.value(2)
    shape, width = graph.shapes[name], graph.draw(st.integers(1, 5))
    graph.add("MatMul", [name, graph.weights(shape[-1], width)], (*shape[:-1], width))


def product(graph: Graph) -> None:
    """x·xᵀ over the last axis, or the last but one."""
    name = graph.value(3)
    shape = graph.shapes[name]
    rank = len(shape)
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    turned = (*shape[:-2], shape[-1], shape[-2])
    graph.add("Transpose", [name], turned, perm=swapped)
    pair = [name, f"v{len(graph.nodes) - 1}"]
    size = shape[-2]
    if graph.draw(st.booleans()):
        pair, size = pair[::-1], shape[-1]
    graph.add("MatMul", pair, (*shape[:-2], size, size))


def einsum(graph: Graph) -> None:
    """A sum over some axes of a value and its own pointwise image."""
    name = graph.value(3)
    shape = graph.shapes[name]
    letters = "abcdefgh"[: len(shape)]
    over = graph.draw(st.sets(st.sampled_from(letters[1:]), min_size=1, max_size=len(shape) - 2))
    graph.add("Tanh", [name], shape)
    left = "".join(graph.draw(st.permutations(letters)))
    order = [letters.index(letter) for letter in left]
    graph.add("Transpose", [name], tuple(shape[i] for i in order), perm=order)
    right = "".join(x if x in over or x == "a" else x.upper() for x in letters)
    axes = "a" + "".join(graph.draw(st.permutations(sorted((set(left) ^ set(right)) - {"a"}))))
    sizes = dict(zip(letters, shape, strict=True))
    turned, image = f"v{len(graph.nodes) - 1}", f"v{len(graph.nodes) - 2}"
    shape = tuple(sizes[letter.lower()] for letter in axes)
    graph.add("Einsum", [turned, image], shape, equation=f"{left},{right}->{axes}")
    del graph.shapes[turned]


def pointwise(graph: Graph) -> None:
    name = graph.value()
    shape = graph.shapes[name]
    same = [other for other, sizes in graph.shapes.items() if sizes == shape]
    tail = shape[graph.draw(st.integers(0, len(shape))) :]
    others = [graph.weights(*tail[1:] if len(tail) == len(shape) else tail), *same]
    other = graph.draw(st.sampled_from(others))
    graph.add(graph.draw(st.sampled_from(["Add", "Mul"])), [name, other], shape)


def along_axis(graph: Graph) -> None:
    name = graph.value(2)
    shape = graph.shapes[name]
    axis = graph.draw(st.integers(1, len(shape) - 1))
    operator = graph.draw(
        st.sampled_from(["Concat", "Softmax", "Slice", "Split", "ReduceMean", "Squeeze"])
    )
    index = graph.constant(np.array([axis], np.int64))
    if operator == "Softmax":
        graph.add(operator, [name], shape, axis=axis)
    elif operator == "Split":
        sizes = graph.constant(np.array([1, shape[axis] - 1], np.int64))
        name_of_rest = f"rest{len(graph.nodes)}"
        graph.add(operator, [name, sizes], (*shape[:axis], 1, *shape[axis + 1 :]), axis=axis)
        graph.nodes[-1].output.append(name_of_rest)
        if shape[axis] > 1:
            graph.shapes[name_of_rest] = (*shape[:axis], shape[axis] - 1, *shape[axis + 1 :])
    elif operator == "Concat":
        joined = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
        graph.add(operator, [name, name], joined, axis=axis)
    elif operator == "ReduceMean":
        graph.add(operator, [name, index], (*shape[:axis], 1, *shape[axis + 1 :]))
    else:
        ends = [graph.constant(np.array([number], np.int64)) for number in (0, 1)]
        graph.add("Slice", [name, *ends, index], (*shape[:axis], 1, *shape[axis + 1 :]))
    if operator == "Squeeze" and len(shape) > 2:
        graph.add(operator, [f"v{len(graph.nodes) - 1}", index], shape[:axis] + shape[axis + 1 :])


STEPS = (transpose, transpose, reshape, rows, dense, product, einsum, pointwise, along_axis)


@settings(max_examples=400, derandomize=True)
@given(st.data(), st.integers(2, 8))
def test_the_numbers_stay_the_same(data: st.DataObject, length: int) -> None:
    graph = Graph(data.draw, {"x": (1, 4, 6, 3)})
    for _ in range(length):
        data.draw(st.sampled_from(STEPS))(graph)
    last = list(graph.shapes)[-1]
    model = drawn_model(graph, "x", [last])
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 3)).astype(np.float32) / 4
    (expected,) = run_unoptimised(model, x=x)
    (result,) = run_unoptimised(without_transposes(model), x=x)
    assert result.shape == expected.shape
    # Sums in another order, relative to numbers of any size.
    np.testing.assert_allclose(result, expected, atol=1e-5 * max(np.abs(expected).max(), 1.0))
