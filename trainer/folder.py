"""A folder of photographs as a data set."""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .images import read_image

_LOGGER = logging.getLogger("diffkiln.trainer")
_ENDINGS = (".jpg", ".jpeg", ".png")
_NAMED_IN_WARNING = 3


@dataclass(frozen=True)
class FolderImages:
    """The pictures of a folder, in the order of their relative POSIX paths.

    images: uint8 [n, image_size, image_size, 3], n >= 1. paths: the n files they come from.
    unreadable: files and folders that could not be read, each with the reason.
    """

    images: NDArray[np.uint8]
    paths: tuple[Path, ...]
    unreadable: tuple[tuple[Path, str], ...]


def folder_images(folder: Path, *, image_size: int) -> FolderImages:
    """Read every .jpg, .jpeg and .png below a folder, at any depth and in any case.

    Hidden files and folders are left out; links to folders are followed, each folder once. What
    cannot be read is kept in the result and named in one warning of the logger "diffkiln.trainer".

    Raises InputError if folder is not a folder, holds no picture or none that can be read, or if
    image_size < 1.
    """
    if image_size < 1:
        raise InputError(f"image_size is {image_size}; expected 1 or more; pass a larger one")
    _require_folder(folder)
    lost: list[tuple[Path, str]] = []
    paths = sorted(_files(folder, lost), key=lambda path: path.relative_to(folder).as_posix())
    images, reasons = _read_all(paths, image_size)
    lost += [(path, reason) for path, reason in zip(paths, reasons, strict=True) if reason]
    kept = tuple(path for path, reason in zip(paths, reasons, strict=True) if not reason)
    _report(folder, len(kept), lost)
    if len(kept) < len(paths):
        images = images[[not reason for reason in reasons]]
    return FolderImages(images, kept, tuple(lost))


def _require_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    fault = "is not a folder" if folder.exists() else "does not exist"
    raise InputError(f"{_name(folder)} {fault}; expected a folder of JPEG or PNG files; check it")


def _files(folder: Path, lost: list[tuple[Path, str]]) -> Iterator[Path]:
    """Yield the picture files below folder and add folders that cannot be listed to lost."""

    def lose(error: OSError) -> None:
        lost.append((Path(error.filename), str(error)))

    seen: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, onerror=lose, followlinks=True):
        status = Path(parent).stat()
        # A link may lead back to a folder above it.
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in names if _is_picture(name))


def _is_picture(name: str) -> bool:
    return name.lower().endswith(_ENDINGS) and not name.startswith(".")


def _read_all(paths: list[Path], image_size: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Return an image and a reason for each path; the reason is empty where the image is good."""
    images = np.empty((len(paths), image_size, image_size, 3), np.uint8)

    def read(index: int) -> str:
        try:
            images[index] = read_image(paths[index], image_size)
        except (OSError, ValueError) as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return images, list(pool.map(read, range(len(paths))))


def _report(folder: Path, kept: int, lost: list[tuple[Path, str]]) -> None:
    """Warn of what was lost, or raise InputError if nothing is left."""
    wanted = "expected at least one readable .jpg, .jpeg or .png"
    if not kept and not lost:
        raise InputError(f"{_name(folder)} holds no picture; {wanted}; add some or pass another")
    if not kept:
        fault = f"holds {len(lost)} pictures and none can be read (the first: {lost[0][1]})"
        raise InputError(f"{_name(folder)} {fault}; {wanted}; replace them or pass another folder")
    if lost:
        names = ", ".join(_name(path) for path, _ in lost[:_NAMED_IN_WARNING])
        more = ", …" if len(lost) > _NAMED_IN_WARNING else ""
        total = kept + len(lost)
        _LOGGER.warning("%d of %d pictures cannot be read: %s%s", len(lost), total, names, more)


def _name(path: Path) -> str:
    """Return the path quoted, so that a name with a line break stays on one line."""
    return repr(str(path))
