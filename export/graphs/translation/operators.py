"""How tf2onnx converts what it has no conversion of, or a bad one."""

import json
import string
from functools import partial
from typing import Any

import numpy as np
from onnx import TensorProto
from tf2onnx import utils
from tf2onnx.onnx_opset.controlflow import Select

from ...baking.admission import CHOICE
from .layer_normalization import MARKER as LAYER_MARKER
from .layer_normalization import convert_layer_normalization

# What an Einsum is called while tf2onnx is at work.
KEPT_EINSUM = "KeptEinsum"

# How the message of a CheckNumerics begins that stands for a group normalization.
MARKER = "diffkiln group normalization "

# An operator as two others, each of the result of the one before ("x") and the number 1.
_CHAINS = {
    "Erfc": (("Erf", "x"), ("Sub", "1x")),  # of the exact GELU
    "Expm1": (("Exp", "x"), ("Sub", "x1")),  # of CELU; near 0 to 1e-7, the last digit of the 1
    "Log1p": (("Add", "x1"), ("Log", "x")),  # as near as expm1
}


def custom_operators() -> dict[str, Any]:
    """The conversions by TensorFlow's operator, as tf2onnx takes them."""
    return {
        "CheckNumerics": (_convert_marker, []),
        "Einsum": (_convert_einsum, []),
        "SelectV2": (_convert_choice, []),
        **{name: (partial(_convert_to_chain, chain), []) for name, chain in _CHAINS.items()},
    }


def _convert_marker(ctx: Any, node: Any, *_: Any) -> None:
    """Replace a marker by the normalization it stands for; a CheckNumerics of others by nothing.

    Groups are normalised by InstanceNormalization. Transposes to channels first and back stand
    around it, for the clean-up to cancel against those of the convolutions.
    """
    message = node.get_attr("message").s.decode()
    source, dtypes = node.input[0], node.output_dtypes
    ends = {"outputs": node.output, "dtypes": dtypes, "shapes": node.output_shapes}
    ctx.remove_node(node.name)
    if message.startswith(LAYER_MARKER):
        convert_layer_normalization(ctx, source, message, ends)
        return
    if not message.startswith(MARKER):
        ctx.make_node("Identity", [source], **ends)
        return
    about = json.loads(message.removeprefix(MARKER))
    # As TensorFlow knew it: tf2onnx forgets the size of what bilinear upsampling makes.
    groups, (*size, channels) = about["groups"], about["image"]
    last = len(size) + 1
    to_first, to_last = [0, last, *range(1, last)], [0, *range(2, last + 1), 1]

    def output(operator: str, inputs: list[str], **attributes: Any) -> str:
        return ctx.make_node(operator, inputs, attr=attributes, dtypes=dtypes).output[0]

    def constant(name: str, values: Any, dtype: Any) -> str:
        return ctx.make_const(f"{node.name}/{name}", np.array(values, dtype)).output[0]

    first = output("Transpose", [source], perm=to_first)
    grouped = output("Reshape", [first, constant("groups", [0, groups, -1], np.int64)])
    dtype = utils.map_onnx_to_numpy_type(dtypes[0])
    ones, zeros = (constant(f"all_{v}", [v] * groups, dtype) for v in (1, 0))
    normal = output("InstanceNormalization", [grouped, ones, zeros], epsilon=about["epsilon"])
    image = output("Reshape", [normal, constant("image", [-1, channels, *size], np.int64)])
    ctx.make_node("Transpose", [image], attr={"perm": to_last}, **ends)


def _convert_choice(ctx: Any, node: Any, *_: Any) -> None:
    """Choose by Where between what a graph makes and nothing, and between pixels.

    tf2onnx multiplies one by 0, as it does elsewhere. But what a graph makes may be NaN, and older
    versions of onnxruntime do not multiply uint8.
    """
    # TensorFlow numbers scopes of one name.
    in_scope = any(scope.startswith(CHOICE) for scope in node.name.split("/"))
    if not in_scope and node.output_dtypes[0] != TensorProto.UINT8:
        Select.version_9(ctx, node)
        return
    inputs, kept = list(node.input), {"dtypes": node.output_dtypes, "shapes": node.output_shapes}
    outputs, name = node.output, node.name
    ctx.remove_node(name)
    ctx.make_node("Where", inputs, outputs=outputs, name=name, **kept)


def _convert_to_chain(chain: tuple[tuple[str, str], ...], ctx: Any, node: Any, *_: Any) -> None:
    outputs, kept = node.output, {"dtypes": node.output_dtypes, "shapes": node.output_shapes}
    dtype = utils.map_onnx_to_numpy_type(node.output_dtypes[0])
    one = ctx.make_const(f"{node.name}/one", np.array(1, dtype)).output[0]
    value = node.input[0]
    ctx.remove_node(node.name)
    for place, (operator, terms) in enumerate(chain, 1):
        inputs = [value if term == "x" else one for term in terms]
        last = {"outputs": outputs} if place == len(chain) else {}
        value = ctx.make_node(operator, inputs, **last, **kept).output[0]


def _spelled_out(equation: str, ranks: list[int]) -> str:
    """An equation with letters for the axes that "..." stands for, which all terms share."""
    terms, arrow, result = equation.partition("->")
    letters = [letter for letter in string.ascii_letters if letter not in equation]
    most = max(rank - len(term) + 3 for rank, term in zip(ranks, terms.split(","), strict=True))

    def spelled(term: str, count: int) -> str:
        return term.replace("...", "".join(letters[most - count : most]))

    pairs = zip(terms.split(","), ranks, strict=True)
    spelled_terms = [spelled(term, rank - len(term) + 3) for term, rank in pairs]
    return ",".join(spelled_terms) + arrow + spelled(result, most)


def _convert_einsum(ctx: Any, node: Any, *_: Any) -> None:
    """Weights over the last axis by MatMul, and others by ONNX's own Einsum.

    tf2onnx reads capital letters as small ones, and takes sums apart into Transposes.
    """
    inputs, equation, outputs = list(node.input), node.get_attr("equation").s, node.output
    dtypes, shapes, last = node.output_dtypes, node.output_shapes, node.inputs[-1]
    terms, _, result = equation.decode().partition("->")
    image, _, weights = terms.partition(",")
    dense = len(weights) == 2 and image[-1:] + result[-1:] == weights and image[:-1] == result[:-1]
    letters = [*image.replace("...", ""), weights[-1:]]
    dense = dense and len(set(letters)) == len(letters)  # none twice, as on a diagonal
    ranks = [len(ctx.get_shape(name)) for name in inputs if ctx.get_shape(name) is not None]
    if len(ranks) == len(inputs) and b"..." in equation:
        equation = _spelled_out(equation.decode(), ranks).encode()
    kind, attributes = KEPT_EINSUM, {"equation": equation}
    if dense and last.is_const():
        kind, attributes = "MatMul", {}
    ctx.remove_node(node.name)
    ctx.make_node(kind, inputs, attr=attributes, outputs=outputs, dtypes=dtypes, shapes=shapes)
