"""Einsums as the operators that they are made of, whose kernels are faster than ONNX's Einsum.

Constant weights become one matrix product between Reshapes; a product without a sum becomes a Mul,
and what only sums or permutes a ReduceSum or Transpose. Sums over products of two computed values
stay Einsums: `layout_products` makes matrix products of these as their factors lie in memory.
"""

import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from ..graph import add_constant, constants_of, drop_unused, inferred, replace_nodes, sizes_of

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

Shape = tuple[int | None, ...]


def einsums(model: onnx.ModelProto) -> int:
    """How many Einsums a graph has."""
    return sum(node.op_type == "Einsum" for node in model.graph.node)


def without_einsums(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without Einsums, except those that sum products of two computed values.

    One with a diagonal, with broadcasting or with more than one free size stays as it is.
    """
    copy = deepcopy(model)
    graph, constants = copy.graph, constants_of(copy.graph)
    shapes = {name: sizes_of(value) for name, value in inferred(graph, data_prop=True).items()}
    shapes |= {name: values.shape for name, values in constants.items()}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        einsum = _read(node, shapes) if node.op_type == "Einsum" else None
        nodes.extend(_rewritten(graph, node, einsum, constants) if einsum else [node])
    replace_nodes(graph, nodes)
    drop_unused(graph)
    return copy


@dataclass(frozen=True)
class _Term:
    """A value, and the letters of its axes in order."""

    name: str
    letters: str


@dataclass(frozen=True)
class _Einsum:
    """Its factors, the letters of its result, and sizes by letter."""

    factors: list[_Term]
    result: str
    sizes: dict[str, int | None]


def _read(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> _Einsum | None:
    """An Einsum of one or two values that other operators can compute; None for another one."""
    terms, arrow, result = node.attribute[0].s.decode().replace(" ", "").partition("->")
    if not arrow or len(node.input) > 2 or not all(name in shapes for name in node.input):
        return None
    sizes: dict[str, int | None] = {}
    factors = []
    others = _without(_LETTERS, terms)
    for name, term in zip(node.input, terms.split(","), strict=True):
        shape = shapes[name]
        rest = others[: len(shape) - len(term.replace("...", ""))]
        letters = term.replace("...", rest)
        if not len(set(letters)) == len(letters) == len(shape):
            return None
        if any(sizes.setdefault(x, n) != n for x, n in zip(letters, shape, strict=True)):
            return None
        result = result.replace("...", rest) if "..." in term else result
        factors.append(_Term(name, letters))
    return None if [*sizes.values()].count(None) > 1 else _Einsum(factors, result, sizes)


class _Work:
    """The nodes that take the place of an Einsum."""

    def __init__(self, graph: onnx.GraphProto, output: str, sizes: dict[str, int | None]) -> None:
        self.sizes, self.nodes = sizes, list[onnx.NodeProto]()
        self._graph, self._output = graph, output

    def add(self, operator: str, inputs: list[str], letters: str, **settings: Any) -> _Term:
        """Add a node; what it makes."""
        name = f"{self._output}/{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **settings))
        return _Term(name, letters)

    def constant(self, values: np.ndarray) -> str:
        """Keep an array as a constant; its name."""
        return add_constant(self._graph, f"{self._output}/{len(self.nodes)}/constant", values)

    def ordered(self, term: _Term, letters: str) -> _Term:
        """A value with its axes in this order."""
        if term.letters == letters:
            return term
        order = [*map(term.letters.index, letters)]
        return self.add("Transpose", [term.name], letters, perm=order)

    def reshaped(self, term: _Term, axes: Iterable[str], letters: str) -> _Term:
        """A value with one axis for each of these groups of letters, of size 1 for none."""
        # A free size, of which there is one at most, is what is left.
        sizes = [math.prod(self.sizes[x] or 0 for x in group) or -1 for group in axes]
        target = self.constant(np.array(sizes, np.int64))
        return self.add("Reshape", [term.name, target], letters)

    def summed(self, term: _Term, over: str) -> _Term:
        """A value summed over these of its axes."""
        if not over:
            return term
        axes = self.constant(np.array([*map(term.letters.index, over)], np.int64))
        return self.add("ReduceSum", [term.name, axes], _without(term.letters, over), keepdims=0)


def _rewritten(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    einsum: _Einsum,
    constants: Mapping[str, np.ndarray],
) -> list[onnx.NodeProto]:
    work, result = _Work(graph, node.output[0], einsum.sizes), einsum.result
    everything = result + "".join(term.letters for term in einsum.factors)
    alone = "".join(letter for letter in einsum.sizes if everything.count(letter) == 1)
    factors = [work.summed(term, _common(term.letters, alone)) for term in einsum.factors]
    left, right = factors[0], factors[-1]
    made = left if len(factors) == 1 else _product(work, left, right, result, constants)
    made = work.ordered(made, result)
    if not work.nodes:
        work.add("Identity", [made.name], result)
    work.nodes[-1].output[:] = node.output
    work.nodes[-1].name = node.name
    return work.nodes


def _product(
    work: _Work, left: _Term, right: _Term, result: str, constants: Mapping[str, np.ndarray]
) -> _Term:
    """A product of two values, summed over the letters that the result lacks."""
    both = _common(left.letters, right.letters)
    over = _without(both, result)
    for image, weights in ((left, right), (right, left)):
        if over == both != "" and weights.name in constants:
            return _weighted(work, image, weights.letters, constants[weights.name], result)
    if over and (left.letters != both or _without(right.letters, both)):
        return _summed_product(work, left, right, result)
    return _multiplied(work, left, right, result, over)


def _weighted(work: _Work, image: _Term, axes: str, weights: np.ndarray, result: str) -> _Term:
    """A value times constant weights, summed over all letters that they share."""
    kept, over = _without(image.letters, axes), _common(image.letters, axes)
    new = _common(result, axes)
    rows = math.prod(work.sizes[x] or 0 for x in over)
    matrix = weights.transpose([*map(axes.index, over + new)]).reshape(rows, -1)
    image = work.ordered(image, kept + over)
    groups = [kept[:1], kept[1:], over] if len(kept) > 2 else [*kept, over]
    if len(groups) < len(image.letters):
        image = work.reshaped(image, groups, image.letters)
    made = work.add("MatMul", [image.name, work.constant(matrix)], kept + new)
    split = len(groups) - 1 < len(kept) or len(new) != 1
    return work.reshaped(made, made.letters, made.letters) if split else made


def _multiplied(work: _Work, left: _Term, right: _Term, result: str, over: str) -> _Term:
    """A product number by number, and then its sum over these letters, if any."""
    axes, names = result + over, []
    for term in (left, right):
        turned = work.ordered(term, _common(axes, term.letters))
        if len(turned.letters) < len(axes):
            groups = [x if x in turned.letters else "" for x in axes]
            turned = work.reshaped(turned, groups, axes)
        names.append(turned.name)
    return work.summed(work.add("Mul", names, axes), over)


def _summed_product(work: _Work, left: _Term, right: _Term, result: str) -> _Term:
    """An Einsum whose factors and result have an axis each that the other factor has not."""
    letters = left.letters + right.letters
    column = next(letter for letter in _LETTERS if letter not in letters)
    work.sizes[column] = 1
    axes, terms = result, []
    for term, other in ((left, right), (right, left)):
        if not _without(term.letters, other.letters):
            axes = result + column
            term = work.reshaped(term, term.letters + column, term.letters + column)
        terms.append(term)
    equation = f"{terms[0].letters},{terms[1].letters}->{axes}"
    made = work.add("Einsum", [term.name for term in terms], axes, equation=equation)
    return made if axes == result else work.reshaped(made, result, result)


def _common(letters: str, others: str) -> str:
    return "".join(letter for letter in letters if letter in others)


def _without(letters: str, others: str) -> str:
    return "".join(letter for letter in letters if letter not in others)
