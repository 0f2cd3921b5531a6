"""Folders of PNG images named by their numbers: one that appears as a whole, one that many fill.

A folder that several processes fill, or one process in several runs, has a hidden file with the
settings of its images. Each image in it is whole or missing, so none needs to be made twice.
"""

import json
import os
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import atomic, remove_leftovers
from .images import save_png, to_picture

SETTINGS = ".diffkiln.json"
# The folder's name is for people: the same bundle may lie elsewhere next time.
_NOT_COMPARED = ("bundle",)

# The last chunk of every PNG: length 0, type, CRC.
_PNG_END = bytes.fromhex("00000000 49454e44 ae426082")


def save_folder(
    path: str | os.PathLike[str], batches: Iterable[np.ndarray], numbers: Iterable[int]
) -> None:
    """Write each image of each batch to a new folder as PNG, named by its number: 00000007.png.

    The folder appears once every image is written. Raises OSError for one that is not empty.
    """
    with atomic(path) as temporary:
        temporary.mkdir()
        for number, image in zip(numbers, chain.from_iterable(batches), strict=True):
            to_picture(image).save(temporary / png_name(number))


def fill_folder(path: Path, batches: Iterable[np.ndarray], numbers: Iterable[int]) -> None:
    """Write each image to an existing folder, each whole or not at all."""
    for number, image in zip(numbers, chain.from_iterable(batches), strict=True):
        save_png(path / png_name(number), image, named=True)


def open_folder(path: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder, or continue one whose images have the same settings.

    Raises ValueError if it holds anything else or cannot be made.
    """
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise ValueError(f"{error.strerror}; choose another path") from error
    # Listed before the settings are read: every process writes those before its first image.
    filled = any(not name.startswith(".") for name in os.listdir(path))  # noqa: PTH208
    earlier = _read_settings(path / SETTINGS)
    if earlier is not None:
        require_same(earlier, settings)
    elif filled:
        expected = "a new or empty folder, or one that --shard began"
        raise ValueError(f"holds other files, expected {expected}; choose another path")
    else:
        with atomic(path / SETTINGS) as temporary:
            temporary.write_text(json.dumps(settings) + "\n", encoding="utf-8")


def require_same(received: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """ValueError that names the first difference, unless a file's settings are these."""
    for name, value in settings.items():
        if name not in _NOT_COMPARED and received.get(name) != value:
            problem = f"{_phrase(name, received.get(name))}, not {_phrase(name, value)}"
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
    names = {png_name(number): number for number in numbers.tolist()}
    remove_leftovers(path, names)
    whole = {name for name in os.listdir(path) if name in names and _is_whole(path / name)}  # noqa: PTH208
    return np.array([n for name, n in names.items() if name not in whole], np.int64)


def png_name(number: int) -> str:
    """Return the name of an image's file."""
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
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_PNG_END)))
        return file.read() == _PNG_END
