"""Checks an ONNX file before onnxruntime sees it.

onnxruntime is native code that was made to run models, not to mistrust them. So what no exporter
writes never gets there: files beside the file, operators other than ONNX's own, loops that nothing
ends, tensors that are named but not made, shapes that their bytes do not fill.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .bundle_limits import MAX_EXTRA_STEPS, MAX_NODES
from .growth_check import Growth
from .manifest import MANIFEST, received, strict_json
from .onnx_wire import Message, WireError, read_model
from .tensor_check import DTYPE_NAMES, GraphError, checked_array

OPSET = 18

# Random numbers, control flow but for Loop, what is no tensor of numbers, and what reads files.
_FORBIDDEN = re.compile(
    "Bernoulli|Multinomial|Random.*|If|Scan|Sequence.*|SplitToSequence|ConcatFromSequence|Optional.*"
    "|ImageDecoder|LabelEncoder|Regex.*|String.*|TfIdfVectorizer|ATen|"
)

# Of a window or a margin in pixels, and of a factor between sizes.
_MAX_WINDOW, _MAX_FACTOR = 4096, 64
_WINDOWS = frozenset(("pads", "kernel_shape", "output_padding", "dilations", "output_shape"))
_FACTORS = frozenset(("strides", "blocksize"))


def check_graph(content: bytes, *, signature: str, essentials: Mapping[str, Any]) -> None:
    """GraphError unless the bytes are a graph of this signature that an exporter could write.

    `signature` is as in `bundle.Graph`; `essentials` are what the model's metadata must repeat of
    the manifest, by name.
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
    found = " -> ".join(_described(graph[side]) for side in ("input", "output"))
    if found != signature:
        raise GraphError(f"is a graph {found[:200]}, expected {signature} as {MANIFEST} says")
    _check_metadata(model["metadata_props"], essentials)
    _Walk().graph(graph)


class _Walk:
    """Goes through the nodes in their order, and through the body of the Loop."""

    def __init__(self) -> None:
        self._growth = Growth()
        self._nodes = 0
        self._scalars: dict[str, int] = {}
        # Tensors that are the input `steps` and this much more.
        self._trips: dict[str, int] = {}

    def graph(self, graph: Message, outer: frozenset[str] = frozenset()) -> None:
        """GraphError unless each tensor is made once, before it is taken: so nothing is cyclic."""
        made = set(outer)
        _add(made, (value.get("name", "") for value in graph["input"]))
        if not outer and "steps" in made:
            self._trips["steps"] = 0
        for tensor in graph["initializer"]:
            _add(made, [tensor.get("name", "")])
            self._constant(tensor["name"], tensor)
        self._nodes += len(graph["node"])
        if self._nodes > MAX_NODES:
            raise GraphError(f"has {self._nodes} nodes, expected at most {MAX_NODES}")
        for node in graph["node"]:
            self._node(node, made, inner=bool(outer))
            _add(made, (name for name in node["output"] if name))
        for value in graph["output"]:
            if value.get("name") not in made:
                raise GraphError(f"gives {value.get('name')!r}, which nothing in it makes")

    def _constant(self, name: str, tensor: Message) -> None:
        array = checked_array(tensor)
        self._growth.constant(name, array)
        if array.shape == () and array.dtype.kind in "iu":
            self._scalars[name] = int(array)

    def _node(self, node: Message, made: set[str], *, inner: bool) -> None:
        kind = _operator(node)
        if not any(node["output"]):
            raise GraphError(f"has a node {kind} that makes nothing")
        for name in node["input"]:
            if name and name not in made:
                raise GraphError(
                    f"has a node {kind} that takes {name!r}, which nothing before it makes"
                )
        attributes = _attributes(kind, node)
        if kind == "Constant":
            for name in node["output"]:
                self._constant(name, _constant_value(attributes))
        elif kind == "Loop":
            self._loop(node, attributes, made, inner=inner)
        elif kind == "Add":
            self._count_trips(node)
        self._require_divisor(kind, node["input"][1:2])
        self._growth.node(kind, node)

    def _count_trips(self, node: Message) -> None:
        """Take note of sums of `steps` and a small number."""
        names = set(node["input"])
        extra = [self._scalars[name] for name in names if name in self._scalars]
        if "steps" in names & set(self._trips) and extra and 0 <= extra[0] <= MAX_EXTRA_STEPS:
            self._trips.update(dict.fromkeys(node["output"], extra[0]))

    def _require_divisor(self, kind: str, names: Sequence[str]) -> None:
        """GraphError where a whole number would be divided by zero in the middle of a run."""
        if kind in ("Div", "Mod") and names and self._growth.has_zero(names[0]):
            raise GraphError(f"has a node {kind} that divides by the zero in {names[0]!r}")

    def _loop(self, node: Message, attributes: Message, made: set[str], *, inner: bool) -> None:
        """GraphError unless the input `steps` ends it, and its body fits what it carries."""
        if inner:
            raise GraphError("has a Loop inside of a Loop")
        trips, condition, *carried = [*node["input"], "", ""][: max(2, len(node["input"]))]
        if trips not in self._trips:
            raise GraphError(
                f"has a Loop of {trips!r} trips, expected the input 'steps' and up to "
                f"{MAX_EXTRA_STEPS} more"
            )
        body = attributes["body"].get("g") if "body" in attributes else None
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
        # Its names mean nothing outside, where others may have them again.
        scalars, trips = self._scalars.copy(), self._trips.copy()
        self.graph(body, frozenset(made))
        self._scalars, self._trips = scalars, trips


def _operator(node: Message) -> str:
    """The operator of a node; GraphError unless it is one of ONNX's own that is of use here."""
    kind, domain = node.get("op_type", ""), node.get("domain", "")
    if domain not in ("", "ai.onnx"):
        raise GraphError(f"has a node {kind} of the operator set {domain!r}, expected ONNX's own")
    if _FORBIDDEN.fullmatch(kind):
        raise GraphError(f"has a node {kind!r}, an operator that no sampler needs")
    return kind


def _attributes(kind: str, node: Message) -> dict[str, Message]:
    attributes: dict[str, Message] = {}
    for attribute in node["attribute"]:
        name = attribute.get("name", "")
        if name in attributes:
            raise GraphError(f"has a node {kind} with two attributes {name!r}")
        if "g" in attribute and (kind, name) != ("Loop", "body"):
            raise GraphError(f"has a node {kind} with a graph in its attribute {name!r}")
        if "t" in attribute:
            checked_array(attribute["t"])
        _check_numbers(kind, name, attribute)
        attributes[name] = attribute
    return attributes


def _check_numbers(kind: str, name: str, attribute: Message) -> None:
    numbers = [*attribute["floats"], *attribute["ints"]]
    numbers += [attribute[key] for key in ("f", "i") if key in attribute]
    most = _MAX_WINDOW if name in _WINDOWS else _MAX_FACTOR if name in _FACTORS else math.inf
    if not all(math.isfinite(number) and abs(number) <= most for number in numbers):
        raise GraphError(
            f"has a node {kind} with {name}={received(numbers)}, expected numbers up to {most}"
        )


def _constant_value(attributes: Mapping[str, Message]) -> Message:
    """What a node Constant holds, as a tensor."""
    if set(attributes) != {"value"} or "t" not in attributes["value"]:
        raise GraphError(
            f"has a node Constant with {received(list(attributes))}, expected a tensor"
        )
    return attributes["value"]["t"]


def _add(made: set[str], names: Iterable[str]) -> None:
    for name in names:
        if not name or name in made:
            raise GraphError(f"makes {name!r} twice" if name else "makes a tensor without a name")
        made.add(name)


def _described(values: Sequence[Message]) -> str:
    """Inputs or outputs as a signature names them."""
    return ", ".join(_described_value(value) for value in values)


def _described_value(value: Message) -> str:
    tensor = value.get("type", {}).get("tensor_type", {})
    dtype = DTYPE_NAMES.get(tensor.get("elem_type", 0), "unknown")
    dims = tensor.get("shape", {"dim": []})["dim"]
    sizes = [str(dim.get("dim_param") or dim.get("dim_value", "?")) for dim in dims]
    return f"{value.get('name', '')} {dtype}[{', '.join(sizes)}]"


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
