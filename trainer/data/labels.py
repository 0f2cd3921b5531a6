"""The classes of a folder's pictures from a file that lists them, or from their names."""

import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ..config import label_pattern
from ..errors import InputError
from .label_file import Row, read_table
from .listing import Listing, digest_of_parts


def labelled(listing: Listing, labels: str, files: Sequence[tuple[Path, Sequence[str]]]) -> Listing:
    """A listing whose classes come from `labels`, a path or "name:REGEX", and not from folders.

    `files` are the names of all pictures in the folder of the listing, and in that of its held-out
    pictures if it is another. Fingerprint and identity follow from their classes too. Raises
    InputError if the file cannot be read, fits no picture, does not say which of several pictures
    it means, or has two classes for one.
    """
    paths = [_absolute(folder, names) for folder, names in files]
    every = list(chain.from_iterable(paths))
    if pattern := label_pattern(labels):
        classes, words = _of_names(pattern, every), "from their names"
    else:
        classes, words = _of_file(Path(labels), _Pictures(listing.folder, every))
    in_order = [classes.get(path, "") for path in every]
    by_name = {
        folder: {name: classes.get(path, "") for name, path in zip(names, of_names, strict=True)}
        for (folder, names), of_names in zip(files, paths, strict=True)
    }
    train = replace(listing, labels=by_name[listing.folder])
    held_out = replace(listing.held_out, labels=by_name[listing.held_out.folder])
    known = sum(map(bool, chain(train.classes, held_out.classes)))
    return replace(
        train,
        held_out=held_out,
        fingerprint=f"files-{digest_of_parts(listing.fingerprint, in_order)}",
        identity=digest_of_parts(listing.identity, in_order),
        words=f"{listing.words} Labels: {known:,} of {sum(listing.counts):,} pictures, {words}.",
    )


def _absolute(folder: Path, names: Sequence[str]) -> list[str]:
    """Paths without links being followed, since a file names pictures as their user sees them."""
    place = Path(os.path.abspath(folder)).as_posix()  # noqa: PTH100, since resolve follows links
    return [posixpath.join(place, name) for name in names]


def _of_names(pattern: re.Pattern[str], paths: Sequence[str]) -> dict[str, str]:
    """The class in each file name, by path."""
    found = ((path, pattern.search(posixpath.basename(path))) for path in paths)
    if classes := {path: match[1] for path, match in found if match and match[1]}:
        return classes
    problem = f"fits no picture's name (the first: {posixpath.basename(paths[0])!r})"
    raise InputError(f"labels=name:{pattern.pattern}: {problem}; change it")


def _of_file(file: Path, pictures: "_Pictures") -> tuple[dict[str, str], str]:
    """The class of each picture in a file, by path, and where they are from in words."""
    table = read_table(file)
    if table.unknown_heading and pictures.named(table.unknown_heading):
        problem = f"its first line names a picture, {table.unknown_heading!r}"
        raise InputError(f"labels={file}: {problem}; add a header, such as file_name,label")
    try:
        named = [(row, path) for row in table.rows for path in _named(row, pictures)]
        rows = _by_picture(named)
    except ValueError as error:
        raise InputError(f"labels={file}: {error}") from error
    lost = len(table.rows) - len(named)
    if not rows:
        first = f" (the first: {table.rows[0].picture!r})" if table.rows else ""
        problem = f"none of its {lost:,} rows names a picture{first}"
        expected = f"expected file names, or paths in {str(pictures.folder)!r}"
        raise InputError(f"labels={file}: {problem}; {expected}; correct them")
    words = f"from {file.name}" + (f"; {lost:,} of its rows name none" if lost else "")
    return {path: row.label for path, row in rows.items()}, words


def _named(row: Row, pictures: "_Pictures") -> list[str]:
    """The one picture that a row names, or none; ValueError if it may mean several."""
    paths = pictures.named(row.picture)
    if len(paths) > 1:
        problem = f"line {row.line}: {row.picture!r} may be {paths[0]!r} or {paths[1]!r}"
        raise ValueError(f"{problem}; give the path of one")
    return paths


def _by_picture(named: Iterable[tuple[Row, str]]) -> dict[str, Row]:
    """The row of each picture, by its path; ValueError for two classes of one."""
    rows: dict[str, Row] = {}
    for row, path in named:
        before = rows.setdefault(path, row)
        if before.label != row.label:
            problem = f"line {row.line}: {row.picture!r} is of class {row.label!r}"
            other = f"but of {before.label!r} in line {before.line}"
            raise ValueError(f"{problem}, {other}; keep one class")
    return rows


class _Pictures:
    """Finds pictures by the ends of their paths."""

    def __init__(self, folder: Path, paths: Sequence[str]) -> None:
        self.folder, self._paths = folder, dict.fromkeys(paths)
        (self._place,) = _absolute(folder, [""])
        # By the number of parts of the end, made when a row has as many.
        self._by_end: dict[int, dict[str, list[str]]] = {}

    def named(self, text: str) -> list[str]:
        """The picture with this path in the folder, or else all whose paths end in it.

        The ending of the file may be missing, and backslashes may divide the path.
        """
        return self._found(text) or self._found(text.replace("\\", "/"))

    def _found(self, text: str) -> list[str]:
        path = posixpath.normpath(posixpath.join(self._place, text))
        if path in self._paths:
            return [path]
        end = posixpath.normpath(text).lstrip("/")
        parts = end.count("/") + 1
        if parts not in self._by_end:
            self._by_end[parts] = self._index(parts)
        return self._by_end[parts].get(end, [])

    def _index(self, parts: int) -> dict[str, list[str]]:
        """The pictures by so many last parts of their paths, with and without their ending."""
        index: dict[str, list[str]] = {}
        for path in self._paths:
            end = "/".join(path.rsplit("/", parts)[-parts:])
            for key in {end, posixpath.splitext(end)[0]}:
                index.setdefault(key, []).append(path)
        return index
