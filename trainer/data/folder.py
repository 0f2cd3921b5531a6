"""A folder of photographs as a data set: listed at once, each picture read when a step needs it."""

import hashlib
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .pictures import read_image

_LOGGER = logging.getLogger("diffkiln.trainer")
_ENDINGS = (".jpg", ".jpeg", ".png")
_NEEDED = "expected at least one readable .jpg, .jpeg or .png"
_REPLACE = "replace them or pass another folder"


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder, in the order of their relative POSIX paths.

    A picture in a subfolder belongs to the class of the subfolder's name, other pictures to none.
    `fingerprint` follows from the paths and sizes of the files. `identity` follows from the time of
    their last change too, so that a cache does not outlive a change.
    """

    folder: Path
    names: tuple[str, ...]
    fingerprint: str
    identity: str

    @property
    def counts(self) -> tuple[int, int]:
        """The number of pictures to train on, and none to hold out."""
        return len(self.names), 0

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The subfolders that hold pictures, sorted by name."""
        return tuple(sorted({name.split("/")[0] for name in self.names if "/" in name}))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The class of each picture, int64 [n], −1 for none."""
        numbers = {name: number for number, name in enumerate(self.class_names)}
        folders = (name.split("/")[0] if "/" in name else "" for name in self.names)
        return np.array([numbers.get(folder, -1) for folder in folders], np.int64)


def list_folder(folder: Path) -> Listing:
    """List every .jpg, .jpeg and .png below a folder, at any depth and in any case.

    Hidden files and folders are left out. Links to folders are followed, each folder once. The
    logger "diffkiln.trainer" warns of a folder that cannot be listed. Raises InputError if folder
    is not a folder, or holds no picture.
    """
    if not folder.is_dir():
        fault = "is not a folder" if folder.exists() else "does not exist"
        expected = "expected a folder of JPEG or PNG files; check it"
        raise InputError(f"{str(folder)!r} {fault}; {expected}")
    errors: list[OSError] = []
    names = sorted(_files(folder, errors))
    for error in errors:
        _LOGGER.warning("%r cannot be listed (%s)", str(error.filename), error.strerror)
    if not names:
        fault, remedy = "no picture", "add some or pass another"
        if errors:
            fault = f"{len(errors)} folders and none can be listed (the first: {errors[0]})"
            remedy = _REPLACE
        raise InputError(f"{str(folder)!r} holds {fault}; {_NEEDED}; {remedy}")
    return Listing(folder, tuple(names), *_digests(folder, names))


def _files(folder: Path, errors: list[OSError]) -> Iterator[str]:
    """Yield the picture files below folder, and append the errors of folders to `errors`."""
    seen: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, onerror=errors.append, followlinks=True):
        status = Path(parent).stat()
        # A link may lead back to a folder above it.
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        # Joined as text: a Path for each of a million files would take longer than listing them.
        prefix = (Path(parent).relative_to(folder).as_posix() + "/").removeprefix("./")
        for name in names:
            if name.lower().endswith(_ENDINGS) and not name.startswith("."):
                yield prefix + name


def _digests(folder: Path, names: Iterable[str]) -> tuple[str, str]:
    """The fingerprint and the identity of the files."""
    sizes, identity = hashlib.sha256(), hashlib.sha256()
    for name in names:
        try:
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116, for the same reason
            size, changed = status.st_size, status.st_mtime_ns
        except OSError:  # such as a broken link, which is not read either
            size = changed = 0
        line = name.encode("utf-8", "surrogateescape") + b"\0%d\0" % size
        sizes.update(line)
        identity.update(line + b"%d\0" % changed)
    return f"files-{sizes.hexdigest()}", identity.hexdigest()


class Pictures:
    """The pictures of a listing by number; all threads of a process may read at once.

    The next picture takes the place of one that cannot be read (`by_class`, the next of its class),
    so the images of a step do not depend on what was read before.
    """

    def __init__(self, listing: Listing, image_size: int, *, by_class: bool = False) -> None:
        self._listing, self._image_size = listing, image_size
        self._labels = listing.labels if by_class else None
        self._unreadable: dict[int, str] = {}
        self._named: set[int] = set()
        self._lock = threading.Lock()

    def read(self, index: int) -> NDArray[np.uint8]:
        """Picture `index`, or the next readable one, uint8 [image_size, image_size, 3]."""
        places = np.roll(np.arange(len(self._listing.names)), -index)
        if self._labels is not None:
            places = places[self._labels[places] == self._labels[index]]
        return self.first_readable(places.tolist())

    def first_readable(self, places: Sequence[int]) -> NDArray[np.uint8]:
        """The first readable picture; warns once of each before it. InputError if there is none."""
        for number, place in enumerate(places):
            image = self._decoded(place)
            if image is not None:
                self._warn(places[:number])
                return image
        count = len(self._listing.names)
        tried = f" of the {len(places):,} tried" if len(places) < count else ""
        raise InputError(
            f"{str(self._listing.folder)!r} holds {count} pictures and none{tried} can be read "
            f"(the first: {self._unreadable[places[0]]}); {_NEEDED}; {_REPLACE}"
        )

    def _decoded(self, index: int) -> NDArray[np.uint8] | None:
        if index in self._unreadable:
            return None
        try:
            return read_image(self._listing.folder / self._listing.names[index], self._image_size)
        except (OSError, ValueError) as error:
            self._unreadable[index] = str(error)
            return None

    def _warn(self, indices: Sequence[int]) -> None:
        with self._lock:
            unnamed = [index for index in indices if index not in self._named]
            self._named.update(unnamed)
        for index in unnamed:
            _LOGGER.warning("%s (the next picture takes its place)", self._unreadable[index])
