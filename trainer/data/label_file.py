"""Files that list pictures with their classes: CSV, or JSON Lines as Hugging Face has them."""

import contextlib
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError

# What columns are called, in lower case and with underscores. If a file has several columns of
# pictures, the first one in this order counts.
_PICTURES = (
    *("file_name", "filename", "file_path", "filepath", "path", "file"),
    *("image_path", "image_file", "image_name", "image", "image_id", "id"),
)
_CLASSES = ("label", "class", "class_name", "category", "species")

# A line number, counted from 1, and the cells of the line.
_Lines = Iterator[tuple[int, Sequence[Any]]]


@dataclass(frozen=True)
class Row:
    """A line of the file, counted from 1: a picture, and its class, "" for none."""

    line: int
    picture: str
    label: str


@dataclass(frozen=True)
class Table:
    """The rows of a file. `unknown_heading` names the pictures' column, "" for a common name."""

    rows: tuple[Row, ...]
    unknown_heading: str


def read_table(path: Path) -> Table:
    """Read a file in UTF-8: lines of JSON objects, or columns with a header.

    The columns are divided by commas, semicolons or tabs. Raises InputError for a file that cannot
    be read, a line that does not fit, and columns that are not those of pictures and of classes.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"labels={path}: is not text in UTF-8; save it as CSV in UTF-8") from error
    except OSError as error:
        problem = f"labels={path}: {error.strerror}; expected a CSV or JSON Lines file"
        raise InputError(f"{problem}, or name:REGEX; check it") from error
    try:
        lines = _of_json(text) if text.lstrip().startswith("{") else _of_csv(text)
        _, header = next(lines, (0, ()))
        picture, label = _columns([str(name) for name in header])
        rows = tuple(
            Row(line, _cell(line, cells[picture]), _cell(line, cells[label]))
            for line, cells in lines
        )
    except ValueError as error:
        raise InputError(f"labels={path}: {error}") from error
    heading = str(header[picture])
    return Table(rows, "" if _key(heading) in _PICTURES else heading)


def _of_csv(text: str) -> _Lines:
    """The lines that are not empty, the header first."""
    first = text.lstrip("\n").partition("\n")[0][: csv.field_size_limit()]
    delimiter = max(",;\t", key=lambda each: len(next(csv.reader([first], delimiter=each), [])))
    lines, width = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True), 0
    try:
        for cells in lines:
            width = width or len(cells)
            if len(cells) not in (0, width):
                problem = f"line {lines.line_num} has {len(cells)} columns, expected {width}"
                raise ValueError(f"{problem} as in the header; put quotes around {delimiter!r}")
            if cells:
                yield lines.line_num, cells
    except csv.Error as error:
        raise ValueError(f"line {lines.line_num} is no CSV ({error}); check its quotes") from error


def _of_json(text: str) -> _Lines:
    """All keys, and then the values of each line."""
    objects: list[tuple[int, dict[str, Any]]] = []
    for line, content in enumerate(text.split("\n"), 1):
        try:
            value = dict(json.loads(content)) if content.strip() else {}
        except (ValueError, TypeError, RecursionError) as error:
            problem = f"line {line} is no JSON object"
            raise ValueError(f"{problem}; expected one on each line; correct it") from error
        if value:
            objects.append((line, value))
    keys = list(dict.fromkeys(key for _, value in objects for key in value))
    yield 0, keys
    yield from ((line, [value.get(key) for key in keys]) for line, value in objects)


def _columns(header: Sequence[str]) -> tuple[int, int]:
    """The columns of pictures and of classes, by their names, or the only two there are."""
    keys = [_key(name) for name in header]
    pictures = [keys.index(name) for name in _PICTURES if name in keys][:1]
    classes = [place for place, key in enumerate(keys) if key in _CLASSES]
    if len(keys) == 2:
        classes = classes or [1 - pictures[0] if pictures else 1]
        pictures = pictures or [1 - classes[0]]
    for what, found, names in (("pictures", pictures, _PICTURES), ("classes", classes, _CLASSES)):
        if len(found) != 1:
            received = f"its columns are {', '.join(map(repr, header)) or 'none'}"
            expected = f"expected exactly one of the {what}, named {' or '.join(names)}"
            raise ValueError(f"{received}; {expected}; rename or remove columns")
    return pictures[0], classes[0]


def _key(heading: str) -> str:
    return heading.strip().lower().replace(" ", "_").replace("-", "_")


def _cell(line: int, value: Any) -> str:
    """The text of a cell; a missing value of JSON is empty."""
    with contextlib.suppress(UnicodeEncodeError):  # JSON may hold half a character
        if value is None or isinstance(value, str | int | float):
            text = "" if value is None else str(value).strip()
            text.encode("utf-8", "surrogateescape")
            return text
    raise ValueError(f"line {line} has {value!r:.40}, expected text or a number; change it")
