"""Einsums written with other operators compute the same."""

import numpy as np
import onnx
import pytest
from drawn_graphs import run_unoptimised
from onnx import TensorProto, helper, numpy_helper

from diffkiln.export.graphs.graph import finished
from diffkiln.export.graphs.rewriting.einsums import without_einsums

# b is the batch, which is free.
SIZES = dict(zip("bhwcdnH", (2, 3, 4, 5, 6, 7, 8), strict=True))


def drawn(letters: str) -> np.ndarray:
    shape = [SIZES[letter] for letter in letters]
    return np.random.default_rng(len(letters)).standard_normal(shape).astype(np.float32)


def einsum_model(equation: str, weights: str = "") -> onnx.ModelProto:
    """An Einsum alone, of inputs x and y; `weights` names those that are constants."""
    terms, _, result = equation.partition("->")
    named = dict(zip("xy", terms.split(","), strict=False))
    node = helper.make_node("Einsum", [*named], ["z"], "z", equation=equation)
    constants = [numpy_helper.from_array(drawn(named[name]), name) for name in weights]
    inputs, output = (
        [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, [SIZES[x] if x != "b" else "N" for x in letters]
            )
            for name, letters in terms.items()
            if name not in weights
        ]
        for terms in (named, {"z": result})
    )
    return finished(helper.make_graph([node], "einsum", inputs, output, constants))


def check(equation: str, weights: str, expected: str) -> None:
    """An Einsum becomes these operators, and computes the same."""
    model = without_einsums(einsum_model(equation, weights))
    assert " ".join(node.op_type for node in model.graph.node) == expected
    terms = dict(zip("xy", equation.partition("->")[0].split(","), strict=False))
    tensors = {name: drawn(letters) for name, letters in terms.items()}
    inputs = {name: values for name, values in tensors.items() if name not in weights}
    (result,) = run_unoptimised(model, **inputs)
    # Float32 sums of at most 30 products of numbers near 1, in another order.
    np.testing.assert_allclose(result, np.einsum(equation, *tensors.values()), atol=1e-4)


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        ("bc,cd->bd", "MatMul"),
        ("bwc,dc->bwd", "MatMul"),
        ("bwc,cnd->bwnd", "MatMul Reshape"),
        ("bhwc,cdn->bhwnd", "Reshape MatMul Reshape"),
        ("bwnd,ndc->bwc", "Reshape MatMul"),
        ("bwnd,dcn->bwc", "Reshape MatMul"),
        ("bhwc,hwn->bcn", "Transpose Reshape MatMul"),
        ("bhwc,cd->bdhw", "Reshape MatMul Reshape Transpose"),
        ("bhwc,hwc->b", "Reshape MatMul Reshape"),
    ],
)
def test_constant_weights_are_one_product(equation: str, expected: str) -> None:
    check(equation, "y", expected)


def test_weights_may_come_first() -> None:
    check("cd,bwc->bwd", "x", "MatMul")


@pytest.mark.parametrize(
    ("equation", "weights", "expected"),
    [
        ("bhwc,bc->bhwc", "", "Reshape Mul"),
        ("bhwc,c->bcwh", "y", "Transpose Reshape Mul"),
        ("bc,bd->bcd", "", "Reshape Reshape Mul"),
        ("bhwc,bhwc->bhw", "", "Mul ReduceSum"),
        ("bhwc,bhwc->bc", "", "Transpose Transpose Mul ReduceSum"),
        ("bhwc->bcwh", "", "Transpose"),
        ("bhwc->cb", "", "ReduceSum Transpose"),
        ("bhwc->bhwc", "", "Identity"),
    ],
)
def test_what_no_matrix_product_computes(equation: str, weights: str, expected: str) -> None:
    check(equation, weights, expected)


@pytest.mark.parametrize(
    ("equation", "weights", "expected"),
    [
        ("bhwc,bHwc->bwhH", "", "Einsum"),
        ("bwc,wcd->bwd", "y", "Einsum"),
        ("bhwc,bc->bhw", "", "Reshape Einsum Reshape"),
        ("bhwc,bHc->bHw", "", "ReduceSum Einsum"),
    ],
)
def test_products_of_two_values_stay(equation: str, weights: str, expected: str) -> None:
    check(equation, weights, expected)


def test_diagonals_stay() -> None:
    model = einsum_model("bcc->bc")
    assert without_einsums(model) == model


def test_an_ellipsis_is_the_axes_that_are_left() -> None:
    model = einsum_model("bhwc,cd->bhwd", "y")
    model.graph.node[0].attribute[0].s = b"...c,cd->...d"
    operators = [node.op_type for node in without_einsums(model).graph.node]
    assert operators == ["Reshape", "MatMul", "Reshape"]
