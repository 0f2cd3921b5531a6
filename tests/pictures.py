"""Folders of pictures for tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(number: int, size: int) -> Image.Image:
    """Noise that compresses little, another one for each number."""
    generator = np.random.default_rng(number)
    return Image.fromarray(generator.integers(0, 256, (size, size, 3), np.uint8))


def save_pictures(folder: Path, count: int, *, size: int, ending: str = "png") -> None:
    """Different pictures `00000` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture(number, size).save(folder / f"{number:05}.{ending}")


def save_linked(folder: Path, count: int, *, size: int, different: int = 8) -> None:
    """JPEGs of which only the first few are different; the others are links to them."""
    save_pictures(folder, different, size=size, ending="jpg")
    for number in range(different, count):
        (folder / f"{number:05}.jpg").hardlink_to(folder / f"{number % different:05}.jpg")
