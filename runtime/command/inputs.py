"""Reads the pictures that flags name, at a bundle's size."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..bundle.bundle import Bundle
from .options import bad_flag
from .photo import read_mask, read_photo, upright_size

Content = TypeVar("Content")


def photo_of(flag: str, values: Mapping[str, Any], bundle: Bundle) -> np.ndarray:
    """Return the photograph of a flag in the bundle's size and dtype."""
    photo = _read(flag, values[flag], lambda path: read_photo(path, bundle.image_shape))
    return photo if bundle.image_dtype == "uint8" else photo.astype(np.float32) / np.float32(255)


def mask_of(values: Mapping[str, Any], bundle: Bundle) -> np.ndarray:
    """Return the mask, uint8 [height, width, 1]; UsageError unless it fits the photograph."""
    height, width, _ = bundle.image_shape
    photo_size = _read("inpaint", values["inpaint"], upright_size)
    size = _read("mask", values["mask"], upright_size)
    if size not in (photo_size, (width, height)):
        expected = " x ".join(map(str, photo_size))
        raise bad_flag(
            "mask",
            values["mask"],
            f"has {size[0]} x {size[1]} pixels, expected {expected} like the photograph, or "
            f"{width} x {height} like the bundle; resize it",
        )
    return _read("mask", values["mask"], lambda path: read_mask(path, bundle.image_shape))


def _read(flag: str, path: Path, reader: Callable[[Path], Content]) -> Content:
    try:
        return reader(path)
    except ValueError as error:
        raise bad_flag(flag, path, str(error)) from error
