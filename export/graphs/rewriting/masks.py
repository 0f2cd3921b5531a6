"""Masks of attention that are not as large as the scores that they choose from.

Keras begins with a mask of ones in the shape of the scores, so that no mask is a constant.
"""

import onnx

from ..graph import constants_of, drop_unused


def shrink_masks(graph: onnx.GraphProto) -> bool:
    """Leave those ones out of masks; whether there were any.

    tf2onnx writes the choice as mask·scores + (not mask)·number, which has the shape of the scores
    even if the mask is broadcast.
    """
    masks = _Masks(graph)
    found = False
    for node in [node for node in graph.node if node.op_type == "And"]:
        for ones, mask in (node.input, node.input[::-1]):
            scores = masks.scores(ones)
            if scores and masks.only_choose(node.output[0], scores):
                for taker in masks.takers.pop(node.output[0]):
                    taker.input[:] = [mask if x == node.output[0] else x for x in taker.input]
                    masks.takers[mask].append(taker)
                found = True
                break
    drop_unused(graph)
    return found


class _Masks:
    """Which nodes make and take the values of a graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.constants = constants_of(graph)
        self.makers = {node.output[0]: node for node in graph.node}
        self.takers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.takers.setdefault(name, []).append(node)

    def scores(self, ones: str) -> str:
        """The value whose shape a mask of ones has; "" if it is none."""
        node = self.makers.get(ones)
        if node is None or node.op_type != "Expand":
            return ""
        values = self.constants.get(node.input[0])
        shape = self.makers.get(node.input[1])
        while shape is not None and shape.op_type == "Cast":
            shape = self.makers.get(shape.input[0])
        if values is None or values.dtype != bool or not values.all():
            return ""
        return shape.input[0] if shape is not None and shape.op_type == "Shape" else ""

    def only_choose(self, mask: str, scores: str) -> bool:
        """Whether a mask does nothing but choose between these scores and numbers."""
        for node in self.takers.get(mask, []):
            fits = node.op_type == "And" and self.only_choose(node.output[0], scores)
            chosen = [n for n in self._next(node, "Cast", "Mul") if scores in n.input]
            others = self._next(node, "Not", "Cast", "Mul", "Add")
            sums = [n for n in others if any(self._is_choice(x, scores) for x in n.input)]
            if not (fits or chosen or sums):
                return False
        return True

    def _next(self, node: onnx.NodeProto, *operators: str) -> list[onnx.NodeProto]:
        """The last node of a chain of these operators, each the only taker of the one before."""
        for place, operator in enumerate(operators):
            takers = self.takers.get(node.output[0], [])
            if node.op_type != operator or (place < len(operators) - 1 and len(takers) != 1):
                return []
            if place < len(operators) - 1:
                node = takers[0]
        return [node]

    def _is_choice(self, value: str, scores: str) -> bool:
        node = self.makers.get(value)
        return node is not None and node.op_type == "Mul" and scores in node.input
