"""Reads ONNX models with nothing but what the exporter writes in them, and strictly.

An ONNX file is a protobuf message. Google's reader joins what comes twice, keeps what it does not
know and takes numbers in several forms; here all of that is an error, so that what was checked is
what onnxruntime understands. Weights are not copied. The `onnx` package would do, at the price of
installing and importing it; https://protobuf.dev/programming-guides/encoding has the format.
"""

import re
from typing import Any, NamedTuple

import numpy as np

from .limits import MAX_FIELDS, MAX_NAME_LENGTH, MAX_TEXT_BYTES

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
_TOO_MANY = f"holds more than {MAX_FIELDS} fields"

Message = dict[str, Any]


class WireError(ValueError):
    """These bytes are no model that the exporter could have written."""


class _Field(NamedTuple):
    kind: str
    name: str
    repeated: bool


def read_model(content: bytes) -> Message:
    """Return the model as nested dictionaries of its fields; WireError if it cannot be one.

    Repeated fields are lists, fields that are not there are missing, raw_data are memoryviews.
    """
    return _Reader(content).message("model", 0, len(content), depth=0)


class _Reader:
    """Reads between positions of one file, and counts, so that no file keeps it busy for long."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._fields_left = MAX_FIELDS
        # Tensors are named where they are made and where they are read.
        self._names: dict[bytes, str] = {}

    def message(self, kind: str, position: int, end: int, *, depth: int) -> Message:
        if depth > _MAX_DEPTH:
            raise WireError(f"holds messages in messages, more than {_MAX_DEPTH} deep")
        fields, content = _BY_KEY[kind], self._content
        values: Message = {name: [] for name in _REPEATED[kind]}
        value: Any
        while position < end:
            # Nearly all numbers here are of one byte, and a call would take longer than they do.
            if (key := content[position]) < 0x80:
                position += 1
            else:
                key, position = self._varint(position, end)
            field = fields.get(key)
            if field is None:
                other = f"the field {key >> 3} of the wire type {key & 7}"
                name = _NEVER.get((kind, key >> 3), other)
                raise WireError(f"holds {name} in its {kind}, which no exported model has")
            self._fields_left -= 1
            if self._fields_left < 0:
                raise WireError(_TOO_MANY)
            if key & 7 == _VARINT:
                if position < end and (value := content[position]) < 0x80:
                    position += 1
                else:
                    number, position = self._varint(position, end)
                    value = _signed(number)
                value = [value] if field.repeated else value
            else:
                value, position = self._delimited(field, key & 7, position, end, depth)
            if field.repeated:
                values[field.name] += value if field.kind in _NUMBERS else (value,)
            elif field.name in values:
                raise WireError(f"holds {field.name} twice in one {kind}")
            else:
                values[field.name] = value
        return values

    def _delimited(
        self, field: _Field, wire_type: int, position: int, end: int, depth: int
    ) -> tuple[Any, int]:
        """A value that takes a number of bytes, and where it ends."""
        if wire_type == _FOUR_BYTES:
            size, start = 4, position
        elif position < end and (size := self._content[position]) < 0x80:
            start = position + 1
        else:
            size, start = self._varint(position, end)
        stop = start + size
        if stop > end:
            raise WireError(f"ends inside of a {field.name}")
        if field.kind in _BY_KEY:
            return self.message(field.kind, start, stop, depth=depth + 1), stop
        if field.kind in _NUMBERS:
            return self._numbers(field, start, stop), stop
        if field.kind == "bytes":
            return memoryview(self._content)[start:stop], stop
        return self._text(field, start, stop), stop

    def _numbers(self, field: _Field, start: int, stop: int) -> Any:
        """One float, or any numbers packed one behind the other."""
        self._fields_left -= stop - start
        if self._fields_left < 0:
            raise WireError(_TOO_MANY)
        if field.kind == "float":
            if (stop - start) % 4:
                raise WireError(f"ends inside of a {field.name}")
            floats = np.frombuffer(self._content, "<f4", (stop - start) // 4, start).tolist()
            return floats if field.repeated else floats[0]
        numbers = []
        while start < stop:
            number, start = self._varint(start, stop)
            numbers.append(_signed(number))
        return numbers

    def _text(self, field: _Field, start: int, stop: int) -> str:
        if stop - start > MAX_TEXT_BYTES:
            raise WireError(
                f"holds a {field.name} of {stop - start} bytes, expected at most {MAX_TEXT_BYTES}"
            )
        content = self._content[start:stop]
        if field.kind == "name" and content in self._names:
            return self._names[content]
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError(f"holds a {field.name} that is not UTF-8") from error
        if field.kind == "name":
            if len(text) > MAX_NAME_LENGTH:
                raise WireError(
                    f"holds a name of {len(text)} characters, expected at most {MAX_NAME_LENGTH}"
                )
            if not text.isprintable():
                raise WireError(f"holds the name {ascii(text)[:80]}, which cannot be printed")
            self._names[content] = text
        return text

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """A number of 7 bits a byte, the lowest first, and where it ends."""
        number = 0
        for shift, byte in enumerate(self._content[position : min(position + 10, end)]):
            number |= (byte & 0x7F) << (7 * shift)
            if byte < 0x80:
                if number >> 64:
                    break
                return number, position + shift + 1
        raise WireError("holds a number that does not end, or is too large")


def _signed(number: int) -> int:
    return number - ((number >> 63) << 64)


_NEVER: dict[tuple[str, int], str] = {}
_BY_KEY: dict[str, dict[int, _Field]] = {}
_REPEATED: dict[str, list[str]] = {}
for _message, _fields in re.findall(r"(\w+):((?:\s+\d+ \w+ \w+\+?,?)+)", _SCHEMA):
    _BY_KEY[_message], _REPEATED[_message] = {}, []
    for _number, _kind, _name, _plus in re.findall(r"(\d+) (\w+) (\w+)(\+?)", _fields):
        _own = {"int": _VARINT, "float": _FOUR_BYTES}.get(_kind, _LENGTH)
        if _kind == "never":
            _NEVER[_message, int(_number)] = _name
            continue
        # Repeated numbers may also be packed.
        for _wire_type in {_own, _LENGTH} if _plus else {_own}:
            _BY_KEY[_message][int(_number) << 3 | _wire_type] = _Field(_kind, _name, bool(_plus))
        _REPEATED[_message] += [_name] * bool(_plus)
