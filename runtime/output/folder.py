"""Folders of PNG images named by their numbers, which one process or several fill in place.

A hidden file has the settings of the images. Each image is whole or missing, so a job that was
stopped goes on where it was.
"""

import json
import os
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import atomic, remove_leftovers
from .images import save_picture

SETTINGS = ".diffkiln.json"
# The folder's name is for people: the same bundle may lie elsewhere next time.
_NOT_COMPARED = ("bundle",)
_OF_AN_EMPTY_DISK = ("lost+found",)

# The last chunk of every PNG: length 0, type, CRC.
_PNG_END = bytes.fromhex("00000000 49454e44 ae426082")


def fill_folder(path: Path, batches: Iterable[np.ndarray], numbers: Iterable[int]) -> None:
    """Write each image of each batch to an existing folder as PNG, whole or not at all."""
    for number, image in zip(numbers, chain.from_iterable(batches), strict=True):
        try:
            save_picture(path / png_name(number), image, named=True)
        except OSError:
            # A second job that began just now may have removed the half-written file.
            save_picture(path / png_name(number), image, named=True)


def open_folder(path: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder, or continue one whose images have the same settings.

    Raises ValueError if it holds anything else or cannot be made.
    """
    try:
        Path(os.path.realpath(path)).mkdir(exist_ok=True)  # a link may lead to a new folder
    except OSError as error:
        raise ValueError(f"{error.strerror}; choose another path") from error
    if not was_begun(path, settings):
        with atomic(path / SETTINGS) as temporary:
            temporary.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def was_begun(path: Path, settings: Mapping[str, Any]) -> bool:
    """Return whether images with these settings were begun there; False for a new or empty folder.

    Raises ValueError if it holds anything else.
    """
    # Listed before the settings are read: every process writes those before its first image.
    empty = not path.exists() or is_empty(path)
    earlier = _read_settings(path / SETTINGS)
    if earlier is not None:
        require_same(earlier, settings)
    elif not empty:
        expected = "a new or empty folder, or one that diffkiln-sample began"
        raise ValueError(f"holds other files, expected {expected}; choose another path")
    return earlier is not None


def is_empty(path: Path) -> bool:
    """Whether a folder holds nothing but hidden files and what an empty disk has."""
    names = os.listdir(path)  # noqa: PTH208
    return all(name.startswith(".") or name in _OF_AN_EMPTY_DISK for name in names)


def require_same(received: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """ValueError that names the first difference, unless a file's settings are these."""
    for name in dict.fromkeys((*settings, *received)):
        earlier, value = received.get(name), settings.get(name)
        if name not in _NOT_COMPARED and earlier != value:
            problem = f"{_phrase(name, earlier)}, not {_phrase(name, value)}"
            remedy = "use the same flags and bundle to continue it, or choose another path"
            raise ValueError(f"was begun with {problem}; {remedy}")


def _phrase(name: str, value: Any) -> str:
    if value is None:
        return f"no {name}"
    return f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"


def missing(path: Path, numbers: np.ndarray) -> np.ndarray:
    """Return the numbers, of int64 [N], whose image is not in the folder or is cut off.

    Half-written files of a killed process are removed.
    """
    if not path.exists():
        return numbers
    names = {png_name(number): number for number in numbers.tolist()}
    remove_leftovers(path, names)
    whole = {name for name in os.listdir(path) if name in names and _is_whole(path / name)}  # noqa: PTH208
    return np.array([n for name, n in names.items() if name not in whole], np.int64)


def png_name(number: int) -> str:
    """Return the name of an image's file: 00000007.png."""
    return f"{number:08d}.png"


def _read_settings(path: Path) -> dict[str, Any] | None:
    """Return the settings of a folder that was begun, None for another."""
    try:
        return {**json.loads(path.read_text(encoding="utf-8"))}
    except FileNotFoundError:
        return None
    except (TypeError, ValueError) as error:  # TypeError if it is no object
        raise ValueError(f"its {path.name} is damaged; choose another path") from error


def _is_whole(path: Path) -> bool:
    """Whether a PNG has its end, which a copy or a crash of the machine may have cut off."""
    if not path.is_file():  # a pipe would keep its reader waiting
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_PNG_END)))
        return file.read() == _PNG_END
