"""What is known of a folder's pictures before any is read."""

import hashlib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PictureFiles:
    """Pictures of a folder by their relative POSIX paths, to be decoded from one of `formats`.

    A picture belongs to the class with the name of the folder at `level` in its path, counted from
    0, or to the class that `labels` has for its name; other pictures belong to none.
    """

    folder: Path
    names: tuple[str, ...]
    formats: tuple[str, ...]
    level: int = 0
    labels: Mapping[str, str] | None = None

    @cached_property
    def classes(self) -> list[str]:
        """The class of each picture, "" for none."""
        if self.labels is not None:
            return [self.labels.get(name, "") for name in self.names]
        paths = (name.split("/", self.level + 1) for name in self.names)
        return [path[self.level] if len(path) > self.level + 1 else "" for path in paths]


@dataclass(frozen=True, kw_only=True)
class Listing(PictureFiles):
    """The pictures of a folder to train on, in the order of their paths, and the held-out ones.

    `fingerprint` follows from the paths and sizes of all the pictures, and from their `labels`.
    `identity` follows from the time of their last change and from what each is for too, so that a
    cache does not outlive a change. `words` say what is held out and what is left out.
    """

    held_out: PictureFiles
    fingerprint: str
    identity: str
    words: str

    @property
    def counts(self) -> tuple[int, int]:
        """The number of pictures to train on, and to hold out."""
        return len(self.names), len(self.held_out.names)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes of all pictures, sorted by name; in `labels`, numbers by number."""
        names = {*self.classes, *self.held_out.classes} - {""}
        return tuple(sorted(names, key=None if self.labels is None else _in_order))

    def labels_of(self, files: PictureFiles) -> NDArray[np.int64]:
        """The number of the class of each picture, int64 [n], −1 for none."""
        numbers = {name: number for number, name in enumerate(self.class_names)}
        return np.array([numbers.get(name, -1) for name in files.classes], np.int64)


def _in_order(name: str) -> tuple[bool, float, str]:
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    is_number = math.isfinite(number)
    return not is_number, number if is_number else 0, name


def digests(files: Iterable[tuple[Path, Iterable[str]]]) -> tuple[str, str]:
    """The fingerprint and the identity of the pictures in one folder or more."""
    sizes, identity = hashlib.sha256(), hashlib.sha256()
    for number, (folder, names) in enumerate(files):
        between = b"\0" * number
        sizes.update(between)
        identity.update(between)
        for name in names:
            try:
                # As text: a Path for each of a million files would take longer than listing them.
                status = os.stat(f"{folder}/{name}")  # noqa: PTH116
                size, changed = status.st_size, status.st_mtime_ns
            except OSError:  # such as a broken link, which is not read either
                size = changed = 0
            line = name.encode("utf-8", "surrogateescape") + b"\0%d\0" % size
            sizes.update(line)
            identity.update(line + b"%d\0" % changed)
    return f"files-{sizes.hexdigest()}", identity.hexdigest()


def digest_of_parts(identity: str, *parts: Iterable[str]) -> str:
    """The identity of pictures that are divided into parts, by the names in each."""
    digest = hashlib.sha256(identity.encode())
    for names in parts:
        digest.update(b"\0\0" + "\0".join(names).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
