"""Finds nodes that make much of little: a few bytes that ask for tensors of any size.

Followed are the numbers of which sizes are computed, from constants and the shapes of tensors that
are there, and constants computed of constants, since onnxruntime computes those while it loads a
graph. What grows with a network's own arithmetic is not followed: that is what models do.
"""

import math
from collections.abc import Sequence

import numpy as np

from .bundle_limits import MAX_CONSTANT_ELEMENTS, MAX_ENLARGEMENT
from .onnx_wire import Message
from .tensor_check import GraphError

# The inputs of each operator that say how large its output is. Resize may have scales instead.
_SIZES: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Tile": (1,),
    "Range": (0, 1),
    "Pad": (1,),
    "OneHot": (1,),
    "CenterCropPad": (1,),
    "Resize": (3,),
    "MaxUnpool": (2,),
    "Col2Im": (1,),
    "HannWindow": (0,),
    "HammingWindow": (0,),
    "BlackmanWindow": (0,),
}
# The inputs whose numbers go into the result, of operators with which sizes may be computed.
_ARITHMETIC = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Max", "Min", "Concat"), slice(None)),
    **dict.fromkeys(("Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape"), slice(1)),
    **dict.fromkeys(("Slice", "Gather", "Transpose", "Abs", "Neg", "Floor", "Ceil"), slice(1)),
    **dict.fromkeys(("ReduceProd", "ReduceMax", "ReduceMin", "Split"), slice(1)),
    **dict.fromkeys(("Div", "Mod"), slice(1)),
    "Where": slice(1, 3),
}
_ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Where", "Equal", "Less", "Greater"}
_SAME_COUNT = {"Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Flatten"}
_FEW = 64


class Growth:
    """What is known of the tensors of a graph, as its nodes come in order."""

    def __init__(self) -> None:
        # The product of a tensor's numbers is at most this; Shape gives 1, for "as large as that".
        self._products: dict[str, float] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._zeros: set[str] = set()
        # Of tensors computed of constants alone: the most elements, and where known the shape.
        self._counts: dict[str, float] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def constant(self, name: str, array: np.ndarray) -> None:
        """Take note of a constant."""
        self._counts[name], self._shapes[name] = array.size, array.shape
        if array.dtype.kind in "iu" and not array.all():
            self._zeros.add(name)
        if array.size <= _FEW and array.dtype.kind in "iuf":
            self._constants[name] = array
            self._products[name] = math.prod(max(1.0, abs(float(x))) for x in array.ravel())

    def node(self, kind: str, node: Message) -> None:
        """GraphError if the node may make more than the limits allow; otherwise take note of it."""
        inputs = node["input"]
        if kind == "Resize" and not any(inputs[3:4]):
            self._require_enlargement(inputs)
        elif kind in _SIZES:
            self._require_size(kind, inputs)
        self._follow_numbers(kind, node)
        self._follow_constants(kind, node)

    def has_zero(self, name: str) -> bool:
        """Whether a tensor is a constant of whole numbers with a zero among them."""
        return name in self._zeros

    def _require_size(self, kind: str, inputs: Sequence[str]) -> None:
        names = [inputs[position] for position in _SIZES[kind] if position < len(inputs)]
        factors = [self._products.get(name) for name in names]
        if kind == "Range":
            factors.append(self._inverse(inputs[2:3]))
        known = [factor for factor in factors if factor is not None]
        if len(known) < len(factors):
            raise GraphError(
                f"has a node {kind} of the size {', '.join(names)!r}, which is not computed of "
                "shapes and constants"
            )
        if math.prod(known) > MAX_CONSTANT_ELEMENTS:
            raise GraphError(
                f"has a node {kind} that makes {math.prod(known):.3g} elements by "
                f"{', '.join(names)!r}, expected at most {MAX_CONSTANT_ELEMENTS}"
            )

    def _require_enlargement(self, inputs: Sequence[str]) -> None:
        enlargement = math.prod(self._products.get(name, math.inf) for name in inputs[2:3])
        if enlargement > MAX_ENLARGEMENT:
            raise GraphError(
                f"has a node Resize that enlarges by {enlargement:.3g}, expected constant scales "
                f"that make it at most {MAX_ENLARGEMENT} times as large"
            )

    def _follow_numbers(self, kind: str, node: Message) -> None:
        product = 1.0 if kind in ("Shape", "Size") else None
        if kind in _ARITHMETIC:
            factors = [self._products.get(name) for name in node["input"][_ARITHMETIC[kind]]]
            if kind == "Div":
                factors.append(self._inverse(node["input"][1:2]))
            if None not in factors:
                product = math.prod(factor for factor in factors if factor is not None)
                # Sums of two numbers are at most twice their product, once for each dimension.
                product *= 2.0 if kind in ("Add", "Sub") else 1.0
        if product is not None:
            self._products.update(dict.fromkeys(node["output"], product))

    def _inverse(self, names: Sequence[str]) -> float | None:
        """How much dividing by this makes a product larger: nothing where it is a shape's."""
        if names and names[0] in self._constants:
            numbers = [abs(float(x)) for x in self._constants[names[0]].ravel()]
            return math.prod(max(1.0, 1 / x) for x in numbers) if all(numbers) else None
        return 1.0 if names and names[0] in self._products else None

    def _follow_constants(self, kind: str, node: Message) -> None:
        inputs = [name for name in node["input"] if name]
        if not inputs or any(name not in self._counts for name in inputs):
            return
        counts = [self._counts[name] for name in inputs]
        if kind in _SAME_COUNT:
            count = counts[0]
        elif kind in _SIZES:
            count = math.prod([max(counts), *(self._products.get(name, 1.0) for name in inputs)])
        else:
            count = self._broadcast(kind, inputs, node["output"]) or math.prod(counts)
        if count > max(MAX_CONSTANT_ELEMENTS, *counts):
            raise GraphError(
                f"has a node {kind} that makes {count:.3g} elements of constants, expected at "
                f"most {MAX_CONSTANT_ELEMENTS}"
            )
        self._counts.update(dict.fromkeys(node["output"], count))

    def _broadcast(self, kind: str, inputs: Sequence[str], outputs: Sequence[str]) -> float | None:
        """The exact count of an elementwise result of known shapes, None for any other."""
        shapes = [self._shapes[name] for name in inputs if name in self._shapes]
        if kind not in _ELEMENTWISE or len(shapes) < len(inputs):
            return None
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError as error:
            raise GraphError(f"has a node {kind} of constants that do not fit: {error}") from error
        self._shapes.update(dict.fromkeys(outputs, shape))
        return math.prod(shape)
