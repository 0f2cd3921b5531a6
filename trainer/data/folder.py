"""A folder of photographs as a data set: listed at once, each picture read when a step needs it."""

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .colours import Colours
from .labels import labelled
from .listing import Listing, PictureFiles, digest_of_parts, digests
from .parts import Parts, hold_out_share, mixed, parts_by_folder
from .pictures import read_image, survey
from .reading import READING_VERSION, Reading, reading
from .tree import RUN, Tree, read_tree

_LOGGER = logging.getLogger("diffkiln.trainer")
_NEEDED = "expected at least one readable picture"
_REPLACE = "replace them or pass another folder"


def list_folder(
    folder: Path,
    *,
    eval_split: str | None = None,
    labels: str | None = None,
    version: int = READING_VERSION,
    run_dir: Path | None = None,
) -> Listing:
    """List the pictures below a folder, at any depth, by the rules of a version of `reading`.

    Held out is the folder val or test, if the data is divided so; or, with `eval_split`, a share of
    the pictures such as "10%", or another folder, "folder:PATH". The folder of the run is left out.
    Their classes come from folders, or from `labels`, a file or "name:REGEX". The logger
    "diffkiln.trainer" warns of a folder that cannot be listed. Raises InputError if a folder is
    none, or holds no picture, if nothing is left to train on, or if `labels` do not fit.
    """
    rules, other = reading(version), _other_folder(folder, eval_split)
    tree = _tree(folder, rules, {run_dir: RUN, other: "held-out folder"})
    files = [(folder, tree.names)]
    parts = _parts(tree.names, eval_split, version)
    if other:
        names = _tree(other, rules, {run_dir: RUN, folder: "folder to train on"}).names
        files.append((other, names))
        held_out = PictureFiles(other, mixed(names), rules.formats)
    else:
        held_out = PictureFiles(folder, parts.held_out, rules.formats, parts.level)
    fingerprint, identity = digests(files)
    if version > 1:
        identity = digest_of_parts(identity, parts.train, held_out.names)
    left_out = _counted(tree.left_out + parts.left_out)
    listing = Listing(
        *(folder, parts.train, rules.formats, parts.level),
        held_out=held_out,
        fingerprint=fingerprint,
        identity=identity,
        words=parts.words + (f" Left out: {left_out}." if left_out else ""),
    )
    return labelled(listing, labels, files) if labels else listing


def _other_folder(folder: Path, eval_split: str | None) -> Path | None:
    """The folder that `eval_split` names, None if it names none; InputError for `folder` itself."""
    kind, _, path = (eval_split or "").partition(":")
    if kind != "folder":
        return None
    if folder.is_dir() and Path(path).is_dir() and folder.samefile(path):
        problem = "is the folder to train on; expected another one, or a share such as 10%"
        raise InputError(f"eval_split={eval_split}: {problem}")
    return Path(path)


def _tree(folder: Path, rules: Reading, without: Mapping[Path | None, str]) -> Tree:
    """Warn of folders that cannot be listed; InputError if folder is none, or holds no picture."""
    if not folder.is_dir():
        fault = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"{str(folder)!r} {fault}; expected a folder of pictures; check it")
    tree = read_tree(folder, rules, {path: why for path, why in without.items() if path})
    for error in tree.errors:
        _LOGGER.warning("%r cannot be listed (%s)", str(error.filename), error.strerror)
    if tree.names:
        return tree
    fault, remedy = "no picture", "add some or pass another"
    if tree.errors:
        fault = f"{len(tree.errors)} folders and none can be listed (the first: {tree.errors[0]})"
        remedy = _REPLACE
    elif tree.left_out:
        fault += f" ({_counted(tree.left_out)})"
    raise InputError(f"{str(folder)!r} holds {fault}; {_NEEDED}; {remedy}")


def _parts(names: Sequence[str], eval_split: str | None, version: int) -> Parts:
    """What to train on and to hold out; InputError if a share leaves nothing to train on."""
    if version == 1:
        return Parts(tuple(names))
    parts = parts_by_folder(names, hold_out=not eval_split)
    if eval_split and eval_split.endswith("%"):
        parts = hold_out_share(parts, float(eval_split.removesuffix("%")) / 100)
        if not parts.train:
            problem = f"holds out all of {len(parts.held_out)} pictures"
            remedy = "give a smaller share, or more pictures"
            raise InputError(f"eval_split={eval_split}: {problem}; {remedy}")
    return parts


def _counted(left_out: Mapping[str, int]) -> str:
    """What is left out by reason, the most frequent first."""
    by_count = sorted(left_out.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {reason}" for reason, count in by_count)


class Pictures:
    """Pictures by number; all threads of a process may read at once.

    The next picture takes the place of one that cannot be read (with `labels` int64 [n], the next
    of its class), so the images of a step do not depend on what was read before. If `all_grey`, the
    logger "diffkiln.trainer" warns of a picture in colour.
    """

    def __init__(
        self,
        files: PictureFiles,
        image_size: int,
        *,
        labels: NDArray[np.int64] | None = None,
        colours: Colours | None = None,
        fit: str = "crop",
        all_grey: bool = False,
    ) -> None:
        self.labels, self.colours, self.fit = labels, colours or Colours(), fit
        self.shape = (image_size, image_size, self.colours.channels)
        self._files, self._all_grey = files, all_grey
        self._unreadable: dict[int, str] = {}
        self._named: set[int] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._files.names)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Picture `index`, or the next readable one, uint8 of `shape`."""
        image = self._decoded(index)
        if image is not None:
            return image
        # Only now, since a list of a million pictures takes longer than decoding one.
        places, of_class = np.roll(np.arange(len(self)), -index), ""
        if self.labels is not None:
            places = places[self.labels[places] == self.labels[index]]
            of_class = self._files.classes[index]
        return self.first_readable(places.tolist(), of_class)

    def first_readable(self, places: Sequence[int], of_class: str = "") -> NDArray[np.uint8]:
        """The first readable picture; warns once of each before it. InputError if there is none."""
        for number, place in enumerate(places):
            image = self._decoded(place)
            if image is not None:
                self._warn(places[:number])
                return image
        count = len(places) if of_class else len(self)
        what = f"{count} pictures" + (f" of class {of_class!r}" if of_class else "")
        tried = f" of the {len(places):,} tried" if len(places) < count else ""
        raise InputError(
            f"{str(self._files.folder)!r} holds {what} and none{tried} can be read "
            f"(the first: {self._unreadable[places[0]]}); {_NEEDED}; {_REPLACE}"
        )

    def _decoded(self, index: int) -> NDArray[np.uint8] | None:
        if index in self._unreadable:
            return None
        path, formats = self._files.folder / self._files.names[index], self._files.formats
        try:
            image = read_image(path, self.shape[0], formats, self.colours, self.fit)
            seen = formats, self.colours.levels, self.fit
            in_colour = self._all_grey and not survey(path, *seen)[0]
        except (OSError, ValueError) as error:
            self._unreadable[index] = str(error)
            return None
        if in_colour:
            self._warn_of_colour(index)
        return image

    def _warn_of_colour(self, index: int) -> None:
        with self._lock:
            named = index in self._named
            self._named.add(index)
        if not named:
            problem = "is in colour, but the run is grey, since the pictures that chose it are"
            path = str(self._files.folder / self._files.names[index])
            _LOGGER.warning("%r %s; it is read as grey", path, problem)

    def _warn(self, indices: Sequence[int]) -> None:
        with self._lock:
            unnamed = [index for index in indices if index not in self._named]
            self._named.update(unnamed)
        for index in unnamed:
            _LOGGER.warning("%s (the next picture takes its place)", self._unreadable[index])
