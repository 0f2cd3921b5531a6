"""Reads ONNX models with nothing but what the exporter writes in them, and strictly.

An ONNX file is a protobuf message. Google's reader joins what comes twice, keeps what it does not
know and takes numbers in several forms; here all of that is an error, so that what was checked is
what onnxruntime understands. Weights are not copied. The `onnx` package would do, at the price of
installing and importing it; https://protobuf.dev/programming-guides/encoding has the format.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bundle_limits import MAX_FIELDS, MAX_NAME_LENGTH

# Number, kind and name of each field as in onnx.proto; + for any number of them; `name` is a text
# to be printed, `never` what no graph of a bundle may have. Other fields are refused as unknown.
_SCHEMA = """
model:     1 int ir_version, 2 text producer_name, 3 text producer_version, 4 name domain,
           5 int model_version, 6 text doc_string, 7 graph graph, 8 opset opset_import+,
           14 entry metadata_props+, 25 never functions
opset:     1 name domain, 2 int version
entry:     1 name key, 2 text value
graph:     1 node node+, 2 name name, 5 tensor initializer+, 10 text doc_string,
           11 value input+, 12 value output+, 13 value value_info+, 15 never sparse_initializer
node:      1 name input+, 2 name output+, 3 name name, 4 name op_type, 5 attribute attribute+,
           6 text doc_string, 7 name domain
attribute: 1 name name, 2 float f, 3 int i, 4 bytes s, 5 tensor t, 6 graph g, 7 float floats+,
           8 int ints+, 9 bytes strings+, 10 never tensors, 11 never graphs, 13 text doc_string,
           20 int type, 21 never ref_attr_name, 22 never sparse_tensor
tensor:    1 int dims+, 2 int data_type, 4 float float_data+, 5 int int32_data+,
           7 int int64_data+, 8 name name, 9 bytes raw_data, 12 text doc_string,
           13 never external_data, 14 never data_location
value:     1 name name, 2 type type, 3 text doc_string
type:      1 tensor_type tensor_type, 6 text denotation
tensor_type: 1 int elem_type, 2 shape shape
shape:     1 dim dim+
dim:       1 int dim_value, 2 name dim_param, 3 text denotation
"""

_VARINT, _LENGTH, _FOUR_BYTES = 0, 2, 5
_NUMBERS = ("int", "float")
_MAX_DEPTH = 16

Message = dict[str, Any]


class WireError(ValueError):
    """These bytes are no model that the exporter could have written."""


@dataclass(frozen=True)
class _Field:
    kind: str
    name: str
    repeated: bool


def read_model(content: bytes) -> Message:
    """Return the model as nested dictionaries of its fields; WireError if it cannot be one.

    Repeated fields are lists, fields that are not there are missing, raw_data are memoryviews.
    """
    return _Reader().message(memoryview(content), "model", 0)


class _Reader:
    """Counts what it has read, so that no file keeps it busy for long."""

    def __init__(self) -> None:
        self._fields_left = MAX_FIELDS

    def message(self, data: memoryview, kind: str, depth: int) -> Message:
        table = _TABLES[kind]
        values: Message = {field.name: [] for field in table.values() if field.repeated}
        position = 0
        while position < len(data):
            key, position = _varint(data, position)
            field = table.get(key >> 3)
            if field is None or field.kind == "never":
                name = f"the field {key >> 3}" if field is None else field.name
                raise WireError(f"holds {name} in its {kind}, which no exported model has")
            value, position = self._value(data, position, key & 7, field, depth)
            if isinstance(value, list):
                values[field.name] += value
            elif field.name in values:
                raise WireError(f"holds {field.name} twice in one {kind}")
            else:
                values[field.name] = value
        return values

    def _value(
        self, data: memoryview, position: int, wire_type: int, field: _Field, depth: int
    ) -> tuple[Any, int]:
        """The value at a position, a list if the field is repeated, and where it ends."""
        self._fields_left -= 1
        if self._fields_left < 0:
            raise WireError(f"holds more than {MAX_FIELDS} fields")
        if wire_type == _LENGTH:
            length, position = _varint(data, position)
            end = position + length
        elif wire_type == _FOUR_BYTES:
            end = position + 4
        elif wire_type == _VARINT and field.kind == "int":
            number, end = _varint(data, position)
            number -= (number >> 63) << 64
            return [number] if field.repeated else number, end
        else:
            raise WireError(f"holds a {field.name} of the wire type {wire_type}")
        if end > len(data):
            raise WireError(f"ends inside of a {field.name}")
        value = self._content(data[position:end], wire_type, field, depth)
        return value if field.kind in _NUMBERS or not field.repeated else [value], end

    def _content(self, data: memoryview, wire_type: int, field: _Field, depth: int) -> Any:
        if field.kind in _NUMBERS:
            return self._numbers(data, wire_type, field)
        if wire_type != _LENGTH:
            raise WireError(f"holds a {field.name} of the wire type {wire_type}")
        if field.kind == "bytes":
            return data
        if field.kind in ("text", "name"):
            return _text(data, field)
        if depth == _MAX_DEPTH:
            raise WireError(f"holds messages in messages, more than {_MAX_DEPTH} deep")
        return self.message(data, field.kind, depth + 1)

    def _numbers(self, data: memoryview, wire_type: int, field: _Field) -> Any:
        """One float, or any numbers packed one behind the other."""
        if field.kind == "float" and len(data) % 4 == 0:
            floats = np.frombuffer(data, "<f4").tolist()
            self._fields_left -= len(floats)
            if field.repeated:
                return floats
            if wire_type == _FOUR_BYTES:
                return floats[0]
        elif field.kind == "int" and field.repeated and wire_type == _LENGTH:
            return self._packed(data)
        raise WireError(f"holds a {field.name} of the wire type {wire_type}")

    def _packed(self, data: memoryview) -> list[int]:
        numbers, position = [], 0
        self._fields_left -= len(data)
        if self._fields_left < 0:
            raise WireError(f"holds more than {MAX_FIELDS} fields")
        while position < len(data):
            number, position = _varint(data, position)
            numbers.append(number - ((number >> 63) << 64))
        return numbers


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    if position < len(data) and data[position] < 0x80:  # nearly all of them
        return data[position], position + 1
    number = 0
    for index, byte in enumerate(data[position : position + 10]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if number >> 64:
                break
            return number, position + index + 1
    raise WireError("holds a number that does not end, or is too large")


def _text(data: memoryview, field: _Field) -> str:
    try:
        text = str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"holds a {field.name} that is not UTF-8") from error
    if field.kind == "name":
        if len(text) > MAX_NAME_LENGTH:
            raise WireError(
                f"holds a name of {len(text)} characters, expected at most {MAX_NAME_LENGTH}"
            )
        if not text.isprintable():
            raise WireError(f"holds the name {ascii(text)[:80]}, which cannot be printed")
    return text


def _tables() -> dict[str, dict[int, _Field]]:
    messages = re.findall(r"(\w+):((?:\s+\d+ \w+ \w+\+?,?)+)", _SCHEMA)
    return {
        message: {
            int(number): _Field(kind, name, repeated == "+")
            for number, kind, name, repeated in re.findall(r"(\d+) (\w+) (\w+)(\+?)", fields)
        }
        for message, fields in messages
    }


_TABLES = _tables()
