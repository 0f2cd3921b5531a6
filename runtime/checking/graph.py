"""Checks an ONNX file before onnxruntime sees it.

onnxruntime is native code that runs models and does not mistrust them. So what no exporter writes
never gets there: files beside the file, operators other than ONNX's own, loops that nothing
ends, tensors that are named but not made, shapes that their bytes do not fill.
"""

import itertools
import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import Checked, GraphError, Port, Signature
from .cost import Cost
from .facts import Call, Fact, constant_fact
from .limits import (
    MAX_EXTRA_STEPS,
    MAX_NODES,
    MAX_OUTPUTS,
    MAX_UPSCALING_STEPS,
    STEPS_COUNTED,
)
from .onnx_reader import Message, WireError, read_model
from .operators import RULES, infer
from .sizes import Rows, bound, degree, is_exact
from .tensors import DTYPES, checked_array
from .trips import Trips

OPSET = 18

# The field that holds an attribute's value, by AttributeProto.AttributeType.
_FIELDS = dict(enumerate(("f", "i", "s", "t", "g", "floats", "ints", "strings"), start=1))

Facts = dict[str, Fact]


def check_graph(content: bytes, signature: Signature, image_numbers: int, cascade: bool) -> Checked:
    """GraphError unless the bytes are a graph of this signature that an exporter could write."""
    try:
        model = read_model(content)
    except WireError as error:
        raise GraphError(f"is no ONNX graph that can be used: it {error}") from error
    opsets = [(opset.get("domain", ""), opset.get("version")) for opset in model["opset_import"]]
    if opsets != [("", OPSET)]:
        raise GraphError(
            f"is for the operator sets {reprlib.repr(opsets)}, expected ONNX's own, version {OPSET}"
        )
    if "graph" not in model:
        raise GraphError("holds no graph")
    graph = model["graph"]
    received = Signature(*(tuple(map(_port, graph[side])) for side in ("input", "output")))
    if received != signature:
        raise GraphError(
            f"is a graph {str(received)[:200]}, expected {signature} as the manifest says"
        )
    metadata = {entry.get("key", ""): entry.get("value", "") for entry in model["metadata_props"]}
    if len(metadata) < len(model["metadata_props"]):
        raise GraphError("has the same metadata twice")
    walk = _Walk(signature, image_numbers, len(content), cascade)
    return Checked(metadata, walk.whole(graph))


class _Walk:
    """Goes through the nodes in their order, and through the body of each Loop."""

    def __init__(
        self, signature: Signature, image_numbers: int, file_bytes: int, cascade: bool
    ) -> None:
        self._signature = signature
        numbers = max(
            math.prod(size for size in port.shape if isinstance(size, int))
            for port in (*signature.inputs, *signature.outputs)
        )
        self._cost = Cost(image_numbers=max(numbers, image_numbers), file_bytes=file_bytes)
        self._nodes, self._cascade, self._is_inside = 0, cascade, False
        # Of each Loop, whether `steps` ends it.
        self._loops: list[bool] = []
        self._trips = Trips({})

    def whole(self, graph: Message) -> Facts:
        """GraphError unless the graph could be run, and makes what its signature says."""
        facts: Facts = {}
        for port in self._signature.inputs:
            sizes = (size if isinstance(size, int) else Rows(1, 1) for size in port.shape)
            _define(facts, port.name, Fact(np.dtype(port.dtype), tuple(sizes)))
        self._trips = Trips(facts)
        outputs = self._graph(graph, facts)
        for port, fact in zip(self._signature.outputs, outputs, strict=True):
            _require_port(port, fact)
        return facts

    def _graph(self, graph: Message, facts: Facts) -> list[Fact]:
        """Add what is known of each tensor to `facts`; the facts of the outputs.

        GraphError unless each tensor is made once, before it is taken: so nothing is cyclic.
        """
        for tensor in graph["initializer"]:
            _define(facts, tensor.get("name", ""), constant_fact(checked_array(tensor)))
        self._nodes += len(graph["node"])
        if self._nodes > MAX_NODES:
            raise GraphError(f"has {self._nodes} nodes, expected at most {MAX_NODES}")
        outputs = [value.get("name", "") for value in graph["output"]]
        alive: dict[str, int] = {}
        for node, last in zip(graph["node"], _last_names(graph["node"], outputs), strict=True):
            try:
                alive |= self._node(node, facts)
            except GraphError as error:
                error.node = error.node or node.get("name")
                raise
            self._cost.release(alive.pop(name, 0) for name in last)
        for name in outputs:
            if name not in facts:
                raise GraphError(f"gives {name!r}, which nothing in it makes")
        self._cost.release(alive.values())
        return [facts[name] for name in outputs]

    def _node(self, node: Message, facts: Facts) -> dict[str, int]:
        """Add what is known of what a node makes to `facts`; how many bytes it takes, by name."""
        kind, names = _operator(node), node["output"]
        for name in node["input"]:
            if name and name not in facts:
                raise GraphError(
                    f"has a node {kind} that takes {name!r}, which nothing before it makes"
                )
        inputs = [facts[name] if name else None for name in node["input"]]
        attributes = dict(_attributes(kind, node["attribute"]))
        if len(attributes) < len(node["attribute"]):
            raise GraphError(f"has a node {kind} with two attributes of one name")
        call = Call(kind, inputs, attributes, len(names))
        if kind == "Loop":
            outputs = self._loop(node, call, facts)
        else:
            outputs = [_constant(attributes)] if kind == "Constant" else infer(call)
        for name, fact in zip(names, outputs, strict=True):
            if name:
                _define(facts, name, fact)
        self._trips.note(kind, node["input"], names[0], facts)
        return dict(zip(names, self._cost.add(call, outputs), strict=True))

    def _loop(self, node: Message, call: Call, facts: Facts) -> list[Fact]:
        """GraphError unless something ends it, and its body keeps what it carries."""
        self._require_place(node, call)
        body, carried = _loop_body(node, call)
        initial = [
            Fact(fact.dtype, fact.shape) for fact in map(call.input, range(2, 2 + len(carried)))
        ]
        inner, number, yes = facts.copy(), Fact(np.dtype("<i8"), ()), Fact(np.dtype("?"), ())
        for value, fact in zip(body["input"], (number, yes, *initial), strict=True):
            _define(inner, value.get("name", ""), fact)
        outside, self._trips, self._is_inside = self._trips, self._trips.copy(), True
        _, *after = self._graph(body, inner)
        self._trips, self._is_inside = outside, False
        for name, before, now in zip(carried, initial, after, strict=False):
            if (before.dtype, before.shape) != (now.dtype, now.shape):
                raise GraphError(
                    f"has a Loop that carries {name!r} as {before} and gives it back as {now}, "
                    "expected the same"
                )
        gathered = [
            Fact(fact.dtype, (bound(STEPS_COUNTED), *fact.shape)) for fact in after[len(carried) :]
        ]
        return [*initial, *gathered]

    def _require_place(self, node: Message, call: Call) -> None:
        """GraphError for a Loop too many, or one that neither `steps` nor a constant ends."""
        if self._loops and not self._cascade:
            raise GraphError("has more than one Loop")
        if self._is_inside:
            raise GraphError("has a Loop inside of another, expected one after the other")
        trips = next(iter(node["input"]), "")
        most = self._trips.bound(trips, call.input()) if trips else None
        ends = most is not None and (most.has_steps or (self._cascade and most.more > 0))
        if most is None or not ends or call.input().shape != ():
            also = f", or a constant from 1 to {MAX_UPSCALING_STEPS}" if self._cascade else ""
            raise GraphError(
                f"has a Loop of {trips!r} trips, expected the input 'steps' and up to "
                f"{MAX_EXTRA_STEPS} more{also}"
            )
        if most.has_steps in self._loops:
            what = "that 'steps' ends" if most.has_steps else "of a constant number of trips"
            raise GraphError(f"has more than one Loop {what}")
        self._loops.append(most.has_steps)


def _loop_body(node: Message, call: Call) -> tuple[Message, list[str]]:
    """The body of a Loop and the names of the tensors that it carries."""
    _, condition, *carried = [*node["input"], "", ""][: max(2, len(node["input"]))]
    body = call.attributes.get("body")
    if not isinstance(body, dict):
        raise GraphError("has a Loop without body")
    inputs, outputs = len(body["input"]), len(body["output"])
    fits = inputs == 2 + len(carried) and len(carried) < outputs == 1 + len(node["output"])
    if not _is_true(call.optional(1)) or not fits:
        raise GraphError(
            f"has a Loop with the condition {condition!r}, {len(carried)} carried tensors and "
            f"{len(node['output'])} outputs, whose body has {inputs} inputs and {outputs} "
            "outputs; expected no condition or the constant true, 2 inputs more and 1 output more"
        )
    return body, carried


def _is_true(condition: Fact | None) -> bool:
    """Whether the condition of a Loop is left out, or is one constant that is true."""
    if condition is None:
        return True
    if not condition.constant or condition.shape != () or condition.values is None:
        return False
    return condition.values.item() is True


def _define(facts: Facts, name: str, fact: Fact) -> None:
    if not name or name in facts:
        raise GraphError(f"makes {name!r} twice" if name else "makes a tensor without a name")
    facts[name] = fact


def _last_names(nodes: Sequence[Message], outputs: Sequence[str]) -> list[set[str]]:
    """The names that each node is the last to make or to read."""
    later, last = set(outputs), []
    for node in reversed(nodes):
        names = {*node["output"], *_read_by(node)}
        last.append(names - later)
        later |= names
    return last[::-1]


def _read_by(node: Message) -> Iterator[str]:
    """Every name that a node reads, in its body as well."""
    yield from node["input"]
    for body in (attribute["g"] for attribute in node["attribute"] if "g" in attribute):
        yield from itertools.chain.from_iterable(map(_read_by, body["node"]))
        yield from (value.get("name", "") for value in body["output"])


def _require_port(port: Port, fact: Fact) -> None:
    """GraphError if an output is seen not to be what the signature says."""
    fits = fact.dtype == np.dtype(port.dtype) and len(fact.shape) == len(port.shape)
    for size, expected in zip(fact.shape, port.shape, strict=False):
        # What holds for one image and no other is seen when it is run.
        fits &= degree(size) > 0 or size == expected or not is_exact(size)
    if not fits:
        raise GraphError(f"gives {port.name} as {fact}, expected {port}")


def _operator(node: Message) -> str:
    """The operator of a node; GraphError unless it is one of ONNX's own that is of use here."""
    kind, domain, names = node.get("op_type", ""), node.get("domain", ""), node["output"]
    if domain not in ("", "ai.onnx"):
        raise GraphError(f"has a node {kind} of the operator set {domain!r}, expected ONNX's own")
    if kind not in RULES and kind not in ("Constant", "Loop"):
        raise GraphError(f"has a node {kind!r}, an operator that no sampler needs")
    if not any(names):
        raise GraphError(f"has a node {kind} that makes nothing")
    if len(names) > MAX_OUTPUTS:
        raise GraphError(f"has a node {kind} of {len(names)} outputs, at most {MAX_OUTPUTS}")
    # onnxruntime's kernels look at the last input without asking whether it is there.
    if kind != "Loop" and node["input"] and not node["input"][-1]:
        raise GraphError(f"has a node {kind} whose last input is left out by an empty name")
    return kind


def _attributes(kind: str, attributes: Sequence[Message]) -> Iterator[tuple[str, Any]]:
    """Names and values; GraphError unless each has the value that its type says, and no other."""
    for attribute in attributes:
        name, type_ = attribute.get("name", ""), attribute.get("type", 0)
        field = _FIELDS.get(type_, "")
        for other, content in attribute.items():
            if other not in (field, "name", "type", "doc_string") and content != []:
                raise GraphError(
                    f"has a node {kind} whose attribute {name!r} of type {type_} holds {other}"
                )
        yield name, _value(kind, name, field, attribute.get(field))


def _value(kind: str, name: str, field: str, value: Any) -> Any:
    """An attribute's value: a number, text, array or graph, or a list."""
    if value is None:
        raise GraphError(f"has a node {kind} whose attribute {name!r} holds nothing")
    if field == "g" and (kind, name) != ("Loop", "body"):
        raise GraphError(f"has a node {kind} with a graph in its attribute {name!r}")
    numbers = value if field == "floats" else [value] if field == "f" else []
    if not all(map(math.isfinite, numbers)):
        raise GraphError(f"has a node {kind} with {name}={reprlib.repr(numbers)}, not finite")
    if field == "s":
        return bytes(value).decode("ascii", "replace")
    return checked_array(value) if field == "t" else value


def _constant(attributes: Mapping[str, Any]) -> Fact:
    """What is known of the output of a node Constant."""
    value = attributes.get("value")
    if len(attributes) != 1 or not isinstance(value, np.ndarray):
        raise GraphError(
            f"has a node Constant with {reprlib.repr(list(attributes))}, expected a tensor"
        )
    return constant_fact(value)


def _port(value: Message) -> Port:
    tensor = value.get("type", {}).get("tensor_type", {})
    dtype = DTYPES.get(tensor.get("elem_type", 0))
    dims = tensor.get("shape", {"dim": []})["dim"]
    # A size that is written both ways is none.
    sizes = (None if len(dim) != 1 else next(iter(dim.values())) for dim in dims)
    return Port(value.get("name", ""), "unknown" if dtype is None else dtype.name, tuple(sizes))
