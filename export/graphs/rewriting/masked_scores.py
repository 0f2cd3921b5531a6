"""Scores of attention that a constant mask leaves out, in a form that softmax is quick with.

A mask leaves a score out by a large negative number, whose exponential underflows. onnxruntime's
softmax does not round that to 0, and a processor takes many times as long over the numbers that are
left. So no score stays further than 60 below the largest of its row: e^−60 of it is nothing beside
it in float32.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import onnx
from onnx import helper

from ..graph import add_constant, constants_of, drop_unused, replace_nodes

# A mask adds at most this to a score that it leaves out.
_LARGE = np.float32(-1e4)
_LEFT_OUT = np.float32(-1e30)
_FURTHEST = np.array(-60, np.float32)
_NOTHING = np.empty(0, np.float32)


def raise_masked_scores(graph: onnx.GraphProto) -> None:
    """Raise what a constant mask leaves out under each softmax over the last axis."""
    masks = _Masks(graph)
    replace_nodes(graph, [new for node in graph.node for new in masks.rewritten(node)])
    drop_unused(graph)


class _Masked(NamedTuple):
    """The name of scores, and what is added to them, of which some is to leave them out."""

    scores: str
    added: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        return self.added > _LARGE


class _Masks:
    """The softmaxes of masked scores in a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph, self._constants = graph, constants_of(graph)
        self._makers = {node.output[0]: node for node in graph.node}

    def rewritten(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """What to write in the place of a node."""
        if masked := self._under(node):
            yield from self._raised(masked, node)
        elif weights := self._masked_again(node.output[0]):
            yield helper.make_node("Identity", [weights], node.output)
        else:
            yield node

    def _under(self, node: onnx.NodeProto | None) -> _Masked | None:
        """What a softmax is of, if that is masked scores, and each row keeps one."""
        if (
            node is None
            or node.op_type != "Softmax"
            or any(axis.i != -1 for axis in node.attribute)
        ):
            return None
        sum_of = self._operands("Add", node.input[0])
        masked = sum_of and _Masked(*sum_of)
        if not masked or masked.kept.all() or not masked.kept.any(axis=-1).all():
            return None
        # tf2onnx writes where(kept, scores, number) as kept·scores + (1 − kept)·number.
        chosen = self._operands("Mul", masked.scores)
        if chosen and np.array_equal(chosen[1], masked.kept):
            return _Masked(chosen[0], np.where(masked.kept, masked.added, _LEFT_OUT))
        return masked

    def _raised(self, masked: _Masked, softmax: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        name = softmax.output[0]
        names = [f"{name}/{part}" for part in ("added", "axis", "furthest")]
        values = (masked.added, np.array([-1]), _FURTHEST)
        added, axis, furthest = map(add_constant, [self._graph] * 3, names, values)
        scores, largest, least, raised = (
            f"{name}/{part}" for part in ("scores", "largest", "least", "raised")
        )
        yield helper.make_node("Add", [masked.scores, added], [scores])
        yield helper.make_node("ReduceMax", [scores, axis], [largest], keepdims=1)
        yield helper.make_node("Add", [largest, furthest], [least])
        yield helper.make_node("Max", [scores, least], [raised])
        yield helper.make_node("Softmax", [raised], softmax.output, axis=-1)

    def _masked_again(self, name: str) -> str:
        """A softmax of masked scores, if a value is kept·softmax or that plus 0; else ""."""
        if (sum_of := self._operands("Add", name)) and not sum_of[1].any():
            name = sum_of[0]
        weights, kept = self._operands("Mul", name) or ("", _NOTHING)
        masked = self._under(self._makers.get(weights))
        # Next to nothing is left of what a mask has left out.
        return weights if masked and np.array_equal(masked.kept, kept) else ""

    def _operands(self, operator: str, name: str) -> tuple[str, np.ndarray] | None:
        """What an operator computes a value of: another value and float32 constants."""
        node = self._makers.get(name)
        if node is None or node.op_type != operator:
            return None
        for value, constant in (node.input, node.input[::-1]):
            numbers = self._constants.get(constant)
            if numbers is not None and numbers.dtype == np.float32 and numbers.ndim:
                return value, numbers
        return None
