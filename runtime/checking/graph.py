"""Checks an ONNX file before onnxruntime sees it.

onnxruntime is native code that was made to run models, not to mistrust them. So what no exporter
writes never gets there: files beside the file, operators other than ONNX's own, loops that nothing
ends, tensors that are named but not made, shapes that their bytes do not fill.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..bundle.manifest import MANIFEST, received, strict_json
from .facts import Call, Fact, constant_fact
from .growth import Growth, Readers
from .limits import MAX_EXTRA_STEPS, MAX_NODES, MAX_OUTPUTS, STEPS_COUNTED
from .onnx_reader import Message, WireError, read_model
from .operators import RULES, infer
from .signature import Port, Signature
from .sizes import Rows, bound, degree, is_exact
from .tensors import DTYPE_NAMES, GraphError, checked_array

OPSET = 18

# The field that holds an attribute's value, by AttributeProto.AttributeType.
_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "floats", 7: "ints", 8: "strings"}

# Its other fields.
_ABOUT = ("name", "type", "doc_string")

Facts = dict[str, Fact]


def check_graph(content: bytes, *, signature: Signature, essentials: Mapping[str, Any]) -> None:
    """GraphError unless the bytes are a graph of this signature that an exporter could write.

    `essentials` are what the model's metadata must repeat of the manifest, by name.
    """
    try:
        model = read_model(content)
    except WireError as error:
        raise GraphError(f"is no ONNX graph that can be used: it {error}") from error
    opsets = [(opset.get("domain", ""), opset.get("version")) for opset in model["opset_import"]]
    if opsets != [("", OPSET)]:
        raise GraphError(
            f"is for the operator sets {received(opsets)}, expected ONNX's own, version {OPSET}"
        )
    if "graph" not in model:
        raise GraphError("holds no graph")
    graph = model["graph"]
    found = Signature(_ports(graph["input"]), _ports(graph["output"]))
    if found != signature:
        raise GraphError(f"is a graph {str(found)[:200]}, expected {signature} as {MANIFEST} says")
    _check_metadata(model["metadata_props"], essentials)
    _Walk(signature, len(content)).whole(graph)


class _Walk:
    """Goes through the nodes in their order, and through the body of the Loop."""

    def __init__(self, signature: Signature, file_bytes: int) -> None:
        self._signature = signature
        numbers = max(
            int(np.prod([size for size in port.shape if isinstance(size, int)], initial=1))
            for port in (*signature.inputs, *signature.outputs)
        )
        self._growth = Growth(image_numbers=numbers, file_bytes=file_bytes)
        self._nodes = 0
        self._in_body = False
        # Tensors that are the input `steps` and this much more.
        self._trips: dict[str, int] = {}

    def whole(self, graph: Message) -> None:
        """GraphError unless the graph could be run, and gives what its signature says."""
        facts = {
            port.name: Fact(_dtype(port), tuple(map(_size, port.shape)))
            for port in self._signature.inputs
        }
        if "steps" in facts:
            self._trips["steps"] = 0
        made = self._graph(graph, facts, outer=())
        for port, fact in zip(self._signature.outputs, made, strict=True):
            _require_port(port, fact)

    def _graph(self, graph: Message, facts: Facts, *, outer: Iterable[str]) -> list[Fact]:
        """What is known of the outputs; `facts` are those of the inputs and of `outer` tensors.

        GraphError unless each tensor is made once, before it is taken: so nothing is cyclic.
        """
        made = set(outer)
        _add(made, (value.get("name", "") for value in graph["input"]))
        for tensor in graph["initializer"]:
            _add(made, [tensor.get("name", "")])
            facts[tensor["name"]] = constant_fact(checked_array(tensor))
        self._nodes += len(graph["node"])
        if self._nodes > MAX_NODES:
            raise GraphError(f"has {self._nodes} nodes, expected at most {MAX_NODES}")
        outputs = [value.get("name", "") for value in graph["output"]]
        readers = Readers([*outputs, *_read(graph)])
        alive: dict[str, int] = {}
        for node in graph["node"]:
            alive |= self._node(node, facts, made)
            names = [name for name in node["output"] if name]
            _add(made, names)
            self._growth.dropped(alive.pop(n, 0) for n in readers.unread(names, _read_by(node)))
        for name in outputs:
            if name not in made:
                raise GraphError(f"gives {name!r}, which nothing in it makes")
        self._growth.dropped(alive.values())
        return [facts[name] for name in outputs]

    def _node(self, node: Message, facts: Facts, made: set[str]) -> dict[str, int]:
        """Add what is known of what a node makes to `facts`; how many bytes it takes, by name."""
        kind = _operator(node)
        names = node["output"]
        if not any(names):
            raise GraphError(f"has a node {kind} that makes nothing")
        if len(names) > MAX_OUTPUTS:
            raise GraphError(f"has a node {kind} of {len(names)} outputs, at most {MAX_OUTPUTS}")
        for name in node["input"]:
            if name and name not in made:
                raise GraphError(
                    f"has a node {kind} that takes {name!r}, which nothing before it makes"
                )
        # onnxruntime's kernels look at the last input without asking whether it is there.
        if kind != "Loop" and not (node["input"] or ["none"])[-1]:
            raise GraphError(f"has a node {kind} whose last input is left out by an empty name")
        inputs = [facts[name] if name else None for name in node["input"]]
        call = Call(kind, inputs, _attributes(kind, node), len(names))
        if kind == "Constant":
            found = [constant_fact(_constant_value(call.attributes))]
        elif kind == "Loop":
            found = self._loop(node, call, facts, made)
        else:
            found = infer(call)
        facts.update(zip(names, found, strict=True))
        self._count_trips(node, facts)
        return dict(zip(names, self._growth.made(call, found), strict=True))

    def _count_trips(self, node: Message, facts: Facts) -> None:
        """Take note of sums of `steps` and a small number."""
        names = node["input"]
        sums = node["op_type"] == "Add" and len(names) == 2 and "steps" in names
        if not sums or "steps" not in self._trips:
            return
        (other,) = [name for name in names if name != "steps"] or ["steps"]
        values = facts[other].values
        if values is None or values.shape != () or not facts[other].constant:
            return
        if 0 <= values.item() <= MAX_EXTRA_STEPS:
            self._trips[node["output"][0]] = values.item()

    def _loop(self, node: Message, call: Call, facts: Facts, made: set[str]) -> list[Fact]:
        """GraphError unless the input `steps` ends it, and its body keeps what it carries."""
        if self._in_body:
            raise GraphError("has a Loop inside of a Loop")
        trips, condition, *carried = [*node["input"], "", ""][: max(2, len(node["input"]))]
        if trips not in self._trips:
            raise GraphError(
                f"has a Loop of {trips!r} trips, expected the input 'steps' and up to "
                f"{MAX_EXTRA_STEPS} more"
            )
        body = call.attributes["body"].get("g") if "body" in call.attributes else None
        if body is None:
            raise GraphError("has a Loop without body")
        if condition or len(body["input"]) != 2 + len(carried):
            raise GraphError(
                f"has a Loop with the condition {condition!r} that carries {len(carried)} tensors "
                f"into {len(body['input'])} inputs, expected no condition and 2 inputs more"
            )
        if not len(carried) < len(body["output"]) == 1 + len(node["output"]):
            raise GraphError(
                f"has a Loop of {len(node['output'])} outputs whose body has "
                f"{len(body['output'])}, expected one more"
            )
        given = [_forgotten(call.input(2 + place)) for place in range(len(carried))]
        number, yes = Fact(np.dtype("<i8"), ()), Fact(np.dtype("?"), ())
        names = [value.get("name", "") for value in body["input"]]
        # Its names mean nothing outside, where others may have them again.
        trips_outside = self._trips.copy()
        inner = {**facts, **dict(zip(names, [number, yes, *given], strict=True))}
        self._in_body = True
        _, *after = self._graph(body, inner, outer=made)
        self._in_body, self._trips = False, trips_outside
        for name, before, now in zip(carried, given, after[: len(carried)], strict=True):
            if before.dtype != now.dtype or not _within(now.shape, before.shape):
                raise GraphError(
                    f"has a Loop that carries {name!r} as {_text(before)} and gives it back as "
                    f"{_text(now)}, expected the same"
                )
        stacked = [
            Fact(fact.dtype, (bound(STEPS_COUNTED), *fact.shape)) for fact in after[len(carried) :]
        ]
        return [*given, *stacked]


def _read(graph: Message) -> Iterable[str]:
    """Every name that is read, in the bodies of its nodes as well."""
    for node in graph["node"]:
        yield from _read_by(node)


def _read_by(node: Message) -> Iterable[str]:
    yield from node["input"]
    for attribute in node["attribute"]:
        if "g" in attribute:
            yield from _read(attribute["g"])
            yield from (value.get("name", "") for value in attribute["g"]["output"])


def _size(size: int | str | None) -> int:
    return size if isinstance(size, int) else Rows(1)


def _dtype(port: Port) -> np.dtype:
    return np.dtype(port.dtype)


def _require_port(port: Port, fact: Fact) -> None:
    """GraphError if an output is seen not to be what the signature says."""
    fits = fact.dtype == _dtype(port) and len(fact.shape) == len(port.shape)
    for size, expected in zip(fact.shape, port.shape, strict=False):
        if is_exact(size) and isinstance(expected, int):
            # What holds for one image and no other is seen when it is run.
            fits &= int(size) == expected or degree(size) > 0
        elif is_exact(size):
            fits &= degree(size) > 0
    if not fits:
        raise GraphError(f"gives {port.name} as {_text(fact)}, expected {port}")


def _forgotten(fact: Fact) -> Fact:
    """The same of numbers that change from trip to trip."""
    return Fact(fact.dtype, fact.shape)


def _within(shape: Sequence[int], most: Sequence[int]) -> bool:
    return len(shape) == len(most) and all(
        int(size) <= int(limit) and degree(size) <= degree(limit)
        for size, limit in zip(shape, most, strict=True)
    )


def _text(fact: Fact) -> str:
    sizes = (
        f"{int(size)}{'' if not degree(size) else 'N'}"
        if int(size) != 1 or not degree(size)
        else "N"
        for size in fact.shape
    )
    return f"{fact.dtype.name}[{', '.join(sizes)}]"


def _operator(node: Message) -> str:
    """The operator of a node; GraphError unless it is one of ONNX's own that is of use here."""
    kind, domain = node.get("op_type", ""), node.get("domain", "")
    if domain not in ("", "ai.onnx"):
        raise GraphError(f"has a node {kind} of the operator set {domain!r}, expected ONNX's own")
    if kind not in RULES and kind not in ("Constant", "Loop"):
        raise GraphError(f"has a node {kind!r}, an operator that no sampler needs")
    return kind


def _attributes(kind: str, node: Message) -> dict[str, Message]:
    attributes: dict[str, Message] = {}
    for attribute in node["attribute"]:
        name = attribute.get("name", "")
        if name in attributes:
            raise GraphError(f"has a node {kind} with two attributes {name!r}")
        _require_value(kind, name, attribute)
        if "g" in attribute and (kind, name) != ("Loop", "body"):
            raise GraphError(f"has a node {kind} with a graph in its attribute {name!r}")
        if "t" in attribute:
            checked_array(attribute["t"])
        numbers = [*attribute["floats"], attribute.get("f", 0.0)]
        if not all(map(math.isfinite, numbers)):
            raise GraphError(f"has a node {kind} with {name}={received(numbers)}, not finite")
        attributes[name] = attribute
    return attributes


def _require_value(kind: str, name: str, attribute: Message) -> None:
    """GraphError unless the attribute has the value that its type says, and no other."""
    expected = _FIELDS.get(attribute.get("type", 0))
    for field, value in attribute.items():
        fits = expected is not None and (field in (expected, *_ABOUT) or value == [])
        if not fits:
            raise GraphError(
                f"has a node {kind} whose attribute {name!r} of type {attribute.get('type', 0)} "
                f"holds {field}"
            )


def _constant_value(attributes: Mapping[str, Message]) -> np.ndarray:
    """What a node Constant holds."""
    if set(attributes) != {"value"} or "t" not in attributes["value"]:
        raise GraphError(
            f"has a node Constant with {received(list(attributes))}, expected a tensor"
        )
    return checked_array(attributes["value"]["t"])


def _add(made: set[str], names: Iterable[str]) -> None:
    for name in names:
        if not name or name in made:
            raise GraphError(f"makes {name!r} twice" if name else "makes a tensor without a name")
        made.add(name)


def _ports(values: Sequence[Message]) -> tuple[Port, ...]:
    return tuple(map(_port, values))


def _port(value: Message) -> Port:
    tensor = value.get("type", {}).get("tensor_type", {})
    dtype = DTYPE_NAMES.get(tensor.get("elem_type", 0), "unknown")
    dims = tensor.get("shape", {"dim": []})["dim"]
    # A size that is given both ways is none.
    sizes = (None if len(dim) != 1 else next(iter(dim.values())) for dim in dims)
    return Port(value.get("name", ""), dtype, tuple(sizes))


def _check_metadata(entries: Sequence[Message], essentials: Mapping[str, Any]) -> None:
    """GraphError unless the model says of itself what the manifest says of it."""
    metadata = {entry.get("key", ""): entry.get("value", "") for entry in entries}
    if len(metadata) < len(entries):
        raise GraphError("has the same metadata twice")
    for name, expected in essentials.items():
        try:
            found = strict_json(metadata[f"diffkiln.{name}"].encode("utf-8"))
        except (KeyError, ValueError) as error:
            raise GraphError(f"does not repeat {name!r} of the manifest in its metadata") from error
        if found != expected:
            raise GraphError(
                f"says of itself that {name} is {received(found)}, expected "
                f"{received(expected)} as {MANIFEST} says"
            )
