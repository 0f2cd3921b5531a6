"""The trainer's reader of pictures and the runtime's are two, and read the same pixels."""

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import FILES, MORE_FILES, STORED, colour_profile, exif_of, picture
from PIL import Image

from diffkiln.runtime.command.photo import _readable_formats, read_photo
from diffkiln.trainer.config import FITS
from diffkiln.trainer.data.colours import Colours
from diffkiln.trainer.data.pictures import read_image
from diffkiln.trainer.data.reading import READING_VERSION, reading

SIDE = 16
# One pixel, tiny, tall, wide, as wide as a panorama, of odd sides, and large enough to be reduced.
SIZES = ((1, 1), (3, 2), (7, 90), (90, 7), (5000, 2), (41, 29), (50, 50), (400, 300))


def colours(size: tuple[int, int]) -> Image.Image:
    """Noise of this size, enlarged where that would take long to draw."""
    return picture(sum(size), 90).resize(size, Image.Resampling.NEAREST)


def kinds(image: Image.Image) -> Iterator[tuple[str, Image.Image, dict[str, Any]]]:
    """A picture in odd kinds of files: their endings, and how they are saved."""
    grey = image.convert("L")
    clear = image.convert("RGBA")
    clear.putalpha(grey)
    deep = np.asarray(grey).astype(np.uint16) * 257
    for orientation in STORED:
        turned = exif_of((0x0112, 3, 1, bytes([orientation, 0, 0, 0])))
        yield "jpg", image, {"exif": turned}
        yield "png", image, {"exif": turned}
    yield "jpg", image.convert("CMYK"), {}
    yield "tiff", image.convert("CMYK"), {}
    yield "png", image.quantize(8), {"transparency": 3}
    yield "gif", image.quantize(8), {"transparency": 3}
    yield "png", Image.fromarray(deep), {}
    yield "tiff", Image.fromarray(deep), {}
    yield "png", Image.fromarray(deep), {"transparency": int(deep[0, 0])}
    yield "png", Image.merge("LA", (grey, grey.rotate(180))), {}
    yield "webp", clear, {"lossless": True}
    yield "png", image, {"icc_profile": colour_profile(b"RGB ")}
    yield "png", clear, {"icc_profile": colour_profile(b"RGB ")}
    yield "png", grey, {"icc_profile": colour_profile(b"GRAY")}
    yield "png", image.convert("1"), {}
    yield "ppm", image, {}


def read_alike(path: Path, fit: str, channels: int, levels: Any = None) -> np.ndarray:
    """What the trainer reads, which the runtime must read too."""
    of_trainer = read_image(path, SIDE, colours=Colours(channels, levels), fit=fit)
    of_runtime = read_photo(path, (SIDE, SIDE, channels), levels, fit)
    np.testing.assert_array_equal(of_trainer, of_runtime, err_msg=path.name)
    return of_trainer


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", FITS)
def test_odd_files_are_read_alike(tmp_path: Path, fit: str, size: tuple[int, int]) -> None:
    for number, (ending, image, settings) in enumerate(kinds(colours(size))):
        image.save(path := tmp_path / f"{number}.{ending}", **settings)
        for channels in (1, 3):
            read_alike(path, fit, channels)


@pytest.mark.parametrize("fit", FITS)
def test_levels_are_read_alike(tmp_path: Path, fit: str) -> None:
    deep = np.random.default_rng(0).integers(0, 5000, (20, 35))
    for kind in (np.uint16, np.int32, np.float32):
        Image.fromarray(deep.astype(kind)).save(path := tmp_path / f"{kind.__name__}.tiff")
        assert np.ptp(read_alike(path, fit, 1, (1000.0, 4095.0))[6:10]) > 100


@pytest.mark.parametrize("kind", [*FILES, *MORE_FILES])
def test_plain_files_are_read_alike(tmp_path: Path, kind: str) -> None:
    content, _ = {**FILES, **MORE_FILES}[kind]
    (path := tmp_path / "a").write_bytes(content)
    for fit in FITS:
        read_alike(path, fit, 3)


def test_each_fit_shows_another_image(tmp_path: Path) -> None:
    colours((41, 29)).save(path := tmp_path / "a.png")
    assert len({read_alike(path, fit, 3).tobytes() for fit in FITS}) == 3


def test_both_know_the_same_formats_and_fits() -> None:
    assert _readable_formats() == reading(READING_VERSION).formats
    schema = resources.files("diffkiln.runtime.bundle") / "bundle.schema.json"
    image = json.loads(schema.read_text())["properties"]["image"]["properties"]
    assert tuple(image["fit"]["enum"]) == FITS
