"""Folders of PNG images named by their numbers: one that appears as a whole, one that many fill.

A folder that several processes fill, or one again and again, says in a hidden file what its images
were made with. Each image in it is whole or not there, so what is there need not be made again.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..command.options import bad_flag
from ..command.settings import require_same
from .atomic import atomic, remove_leftovers
from .images import to_picture, write_png

SETTINGS = ".diffkiln.json"

# The last chunk of every PNG: length 0, type, CRC.
_PNG_END = bytes.fromhex("00000000 49454e44 ae426082")


def save_folder(
    path: str | os.PathLike[str], batches: Iterable[np.ndarray], numbers: Iterable[int]
) -> None:
    """Write each image of each batch to a new folder as PNG, named by its number: 00000007.png.

    The folder appears once every image has been written. Raises OSError if there is one already
    that is not empty.
    """
    with atomic(path) as temporary:
        temporary.mkdir()
        for number, image in _numbered(numbers, batches):
            write_png(temporary / png_name(number), to_picture(image))


def fill_folder(path: Path, batches: Iterable[np.ndarray], numbers: Iterable[int]) -> None:
    """Write each image to a folder that is there, each whole or not at all."""
    for number, image in _numbered(numbers, batches):
        picture = to_picture(image)
        with atomic(path / png_name(number), named=True) as temporary:
            write_png(temporary, picture)


def open_folder(path: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder, or go on with one whose images were made with the same settings.

    Raises UsageError if it holds anything else.
    """
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise bad_flag("out", path, f"{error.strerror}; choose another path") from error
    # Listed before the settings are read: who wrote an image that is there wrote those first.
    filled = any(not name.startswith(".") for name in os.listdir(path))  # noqa: PTH208
    found = _read_settings(path / SETTINGS)
    if found is None and filled:
        raise bad_flag(
            "out",
            path,
            "holds other files, expected a new or empty folder, or one that --shard began; choose "
            "another path",
        )
    if found is None:
        with atomic(path / SETTINGS) as temporary:
            temporary.write_text(json.dumps(settings) + "\n", encoding="utf-8")
    else:
        require_same(path, found, settings)


def missing(path: Path, numbers: np.ndarray) -> np.ndarray:
    """Return those of int64 [N] whose image is not in the folder, or only in part.

    What a killed process left half-written of them is removed.
    """
    names = {png_name(number): number for number in numbers.tolist()}
    remove_leftovers(path, names)
    found = {name for name in os.listdir(path) if name in names and _is_whole(path / name)}  # noqa: PTH208
    return np.array([n for name, n in names.items() if name not in found], np.int64)


def png_name(number: int) -> str:
    """Return the name of an image's file."""
    return f"{number:08d}.png"


def _numbered(
    numbers: Iterable[int], batches: Iterable[np.ndarray]
) -> Iterator[tuple[int, np.ndarray]]:
    return zip(numbers, (image for batch in batches for image in batch), strict=True)


def _read_settings(path: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise bad_flag("out", path.parent, f"its {path.name} is damaged; choose another path")
    return found


def _is_whole(path: Path) -> bool:
    """Whether a PNG has its end, which a copy or a crash of the machine may have cut off."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - len(_PNG_END)))
        return file.read() == _PNG_END
