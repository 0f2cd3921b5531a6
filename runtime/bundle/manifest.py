"""Reads bundle.json strictly, and checks it against its JSON Schema before anything is loaded.

JSON readers differ over repeated keys, NaN and very large numbers, so a manifest with any of these
is refused.
"""

import json
import math
import re
import reprlib
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from ..checking.limits import MAX_DIGITS, MAX_MANIFEST_BYTES
from ..errors import BundleError, LibraryError

FORMAT = "diffkiln-bundle"
FORMAT_VERSION = 6
MANIFEST = "bundle.json"

EXPORT_AGAIN = "export the model again"
COPY_AGAIN = "copy the bundle again or export it again"

_SCHEMA = Path(__file__).with_name("bundle.schema.json")

_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}


def read_manifest(content: bytes, file: Path) -> dict[str, Any]:
    """Return the manifest that `file` holds; BundleError unless it is one that this version reads.

    Of a longer one than MAX_MANIFEST_BYTES, the `content` may be the beginning.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{file} is too long for a manifest, expected at most {MAX_MANIFEST_BYTES} bytes; "
            f"{EXPORT_AGAIN}"
        )
    try:
        values = strict_json(content)
    except ValueError as error:
        raise BundleError(
            f"{file} is not JSON ({printable(str(error))[:120]}); {COPY_AGAIN}"
        ) from error
    if not isinstance(values, dict):
        raise BundleError(
            f"{file} holds a JSON {type(values).__name__}, expected an object; {EXPORT_AGAIN}"
        )
    check_manifest(values, file)
    return values


def strict_json(content: bytes) -> Any:
    """Return what a JSON text in UTF-8 says; ValueError where readers could differ over it."""
    try:
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_number,
            parse_float=_number,
            parse_int=_whole_number,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_manifest(values: dict[str, Any], file: Path) -> None:
    """BundleError, which names the first entry that does not fit the schema."""
    # A newer version comes first, since the schema may have changed.
    version = values.get("format_version")
    newer = isinstance(version, int) and version > FORMAT_VERSION
    if values.get("format") == FORMAT and newer:
        raise BundleError(
            f"{file}: 'format_version' is {version}, expected at most {FORMAT_VERSION}: the bundle "
            "was written by a newer diffkiln; upgrade diffkiln"
        )
    # Only this library's errors: its generated code is quick, and its import waits until here.
    from fastjsonschema import JsonSchemaValueException

    try:
        _schema_module().validate(values)
    except OSError as error:
        raise incomplete(_SCHEMA) from error
    except JsonSchemaValueException as error:
        raise BundleError(f"{file}: {_explained(error)}; {EXPORT_AGAIN}") from error


def incomplete(file: Path) -> LibraryError:
    """Return the error for a file of diffkiln's own that is missing."""
    return LibraryError(
        f"{file} is missing, a file of diffkiln's runtime itself; install diffkiln again, or, in a "
        "frozen app, collect the data files of diffkiln.runtime (PyInstaller: "
        "--collect-data=diffkiln.runtime)"
    )


def received(value: Any) -> str:
    """The value as an error shows it: short and printable, whatever it is."""
    shown = reprlib.Repr()
    shown.maxlevel, shown.maxdict, shown.maxlist = 2, 2, 4
    shown.maxstring, shown.maxlong, shown.maxother = 64, 32, 64
    return shown.repr(value)[:80]


@cache
def _schema_module() -> Any:
    """The schema as a module, whose function `validate` fastjsonschema has written."""
    module = ModuleType(_SCHEMA.stem)
    _SchemaLoader(_SCHEMA.stem, str(_SCHEMA)).exec_module(module)
    return module


class _SchemaLoader(SourceFileLoader):
    """Compiles a JSON Schema to Python when it is imported.

    That takes longer than everything else that is done with a manifest. But Python caches the
    compiled module, like any other, until the file changes.
    """

    def source_to_code(self, data: Any, path: Any, *rest: Any, **options: Any) -> CodeType:
        import fastjsonschema

        code = fastjsonschema.compile_to_code(
            json.loads(data), use_default=False, use_formats=False
        )
        return super().source_to_code(code.encode("utf-8"), path, *rest, **options)


def _explained(error: Any) -> str:
    """The error in words: the entry, its value and what the schema expects there."""
    place, value, definition = str(error.name), error.value, dict(error.definition or {})
    problem = f"is {received(value)}"
    if error.rule == "required":
        missing = next(name for name in definition["required"] if name not in value)
        place, problem = f"{place}.{missing}", "is missing"
        entries = definition.get("properties", {})
        definition = entries.get(missing) or definition.get("additionalProperties", {})
    elif error.rule == "propertyNames":
        definition = definition["propertyNames"]
        pattern, most = definition["pattern"], definition.get("maxLength", math.inf)
        odd = next(name for name in value if len(name) > most or not re.search(pattern, name))
        problem = f"has an entry {received(odd)}"
    place = printable(place.removeprefix("data").removeprefix("."))[:80] or "all of it"
    # In the schema's own words, or in those of its rule.
    expected = _TYPES.get(definition.get("type", ""), "something else")
    expected = " or ".join(map(str, definition.get("enum", ()))) or expected
    return f"{place} {problem}, expected {definition.get('description', expected)}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"it has {received(name)} twice")
        values[name] = value
    return values


def _number(text: str) -> float:
    """The number, as a whole one where it is: JSON does not tell 3.0 from 3."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it has the number {text[:40]}, which is not finite")
    return int(number) if number.is_integer() else number


def _whole_number(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"it has a number of {len(text)} digits")
    return int(text)


def printable(text: str) -> str:
    """The text in ASCII, with all else escaped."""
    return ascii(text)[1:-1]
