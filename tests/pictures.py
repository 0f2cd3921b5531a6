"""Pictures for tests: folders of them, and one of every kind with the colour that it shows."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffkiln.trainer.data.synthetic.dataset import flowers_of

Colour = tuple[int, ...]


def picture(number: int, size: int) -> Image.Image:
    """Noise that compresses little, another one for each number."""
    generator = np.random.default_rng(number)
    return Image.fromarray(generator.integers(0, 256, (size, size, 3), np.uint8))


def synthetic_flowers(count: int, *, image_size: int, seed: int = 0) -> np.ndarray:
    """The first flowers of the synthetic data, uint8 [count, image_size, image_size, 3]."""
    drawn = flowers_of(range(count), image_size=image_size, seed=seed)
    return np.stack([image for image, _ in drawn])


def save_pictures(folder: Path, count: int, *, size: int, ending: str = "png") -> None:
    """Different pictures `00000` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture(number, size).save(folder / f"{number:05}.{ending}")


def save_empty(folder: Path, *names: str) -> Path:
    """Files that hold nothing, for what must not be opened; returns the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def save_linked(folder: Path, count: int, *, size: int, detail: int | None = None) -> None:
    """JPEGs of which only the first eight differ; the others are links to them.

    With less `detail` than `size` they are smooth, and decode faster.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:05}.jpg"
        if number < 8:
            picture(number, detail or size).resize((size, size)).save(path)
        else:
            path.hardlink_to(folder / f"{number % 8:05}.jpg")


def png(depth: int, colour_type: int, *pixel: int, **chunks: bytes) -> bytes:
    """A PNG of one pixel as the specification says (colour types 0, 2, 3, 4, 6), with PLTE, tRNS …

    Pillow writes neither 16-bit colours nor transparent levels of 2 and 4 bits.
    """
    row = b"".join(level.to_bytes(depth // 8) for level in pixel) if depth >= 8 else b""
    header = struct.pack(">IIBBBBB", 1, 1, depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"\0" + (row or bytes([pixel[0] << (8 - depth)])))
    all_chunks = {"IHDR": header, **chunks, "IDAT": data, "IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, all_chunks, all_chunks.values()))


def _chunk(name: str, data: bytes) -> bytes:
    named = name.encode() + data
    return struct.pack(">I", len(data)) + named + struct.pack(">I", zlib.crc32(named))


def _trns(*levels: int) -> dict[str, bytes]:
    """A transparent grey level or colour: 2 bytes a level at every depth."""
    return {"tRNS": struct.pack(f">{len(levels)}H", *levels)}


def plain(mode: str, value: float | Colour) -> Image.Image:
    return Image.new(mode, (4, 4), value)


def saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def _from_tiff(image: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(saved(image, "TIFF")))


RED = (255, 0, 0)
PALETTE = {"PLTE": bytes([255, 0, 0, 0, 0, 255])}
_SHOWN = plain("RGB", RED).quantize(2)
_SEE_THROUGH = plain("RGB", RED).quantize(2)
_SEE_THROUGH.info["transparency"] = 0

# By mode, pictures of one colour and that colour as RGBA.
MODES: dict[str, list[tuple[Image.Image, Colour]]] = {
    "1": [(plain("1", 1), (255, 255, 255, 255)), (plain("1", 0), (0, 0, 0, 255))],
    "L": [(plain("L", 77), (77, 77, 77, 255))],
    "LA": [(plain("LA", (77, 255)), (77, 77, 77, 255)), (plain("LA", (77, 0)), (0, 0, 0, 0))],
    # Premultiplied: 60 of 128 is 120 of 255.
    "La": [(plain("La", (60, 128)), (120, 120, 120, 128))],
    "P": [(_SHOWN, (*RED, 255)), (_SEE_THROUGH, (0, 0, 0, 0))],
    "PA": [(_SHOWN.convert("PA"), (*RED, 255)), (_SEE_THROUGH.convert("PA"), (0, 0, 0, 0))],
    "RGB": [(plain("RGB", (1, 2, 3)), (1, 2, 3, 255))],
    "RGBX": [(plain("RGBX", (1, 2, 3, 4)), (1, 2, 3, 255))],
    "RGBA": [
        (plain("RGBA", (9, 8, 7, 255)), (9, 8, 7, 255)),
        (plain("RGBA", (255, 0, 0, 128)), (255, 0, 0, 128)),
        (plain("RGBA", (9, 8, 7, 0)), (0, 0, 0, 0)),
    ],
    "RGBa": [(plain("RGBa", (128, 0, 0, 128)), (255, 0, 0, 128))],
    "CMYK": [(plain("CMYK", (0, 255, 255, 0)), (*RED, 255))],
    "YCbCr": [(plain("YCbCr", (76, 85, 255)), (*RED, 255))],
    "HSV": [(plain("HSV", (0, 255, 255)), (*RED, 255))],
    "LAB": [(plain("LAB", (255, 128, 128)), (255, 255, 255, 255))],
    "I": [
        (plain("I", 65535), (255, 255, 255, 255)),
        (plain("I", -5), (0, 0, 0, 255)),
        (_from_tiff(plain("I", -5)), (0, 0, 0, 255)),
        (_from_tiff(plain("I", 128 * 257)), (128, 128, 128, 255)),
    ],
    "I;16": [
        (plain("I;16", 65535), (255, 255, 255, 255)),
        (plain("I;16", 128 * 257 + 128), (128, 128, 128, 255)),
        (plain("I;16", 128 * 257 + 129), (129, 129, 129, 255)),
        (_from_tiff(plain("I;16", 128 * 257)), (128, 128, 128, 255)),
    ],
    "I;16B": [
        (plain("I;16B", 128 * 257), (128, 128, 128, 255)),
        (_from_tiff(plain("I;16B", 128 * 257)), (128, 128, 128, 255)),
    ],
    "I;16L": [(plain("I;16L", 128 * 257), (128, 128, 128, 255))],
    "I;16N": [(plain("I;16N", 128 * 257), (128, 128, 128, 255))],
}
# Of unknown range.
FLOATS = [plain("F", 0.5), _from_tiff(plain("F", -3.0))]

# Files of every kind that is read, and the colour RGBA of all their pixels.
FILES: dict[str, tuple[bytes, Colour]] = {
    "png 1": (png(1, 0, 1), (255, 255, 255, 255)),
    "png 1 transparent": (png(1, 0, 1, **_trns(1)), (0, 0, 0, 0)),
    "png 1 other transparent": (png(1, 0, 1, **_trns(0)), (255, 255, 255, 255)),
    "png 2": (png(2, 0, 1), (85, 85, 85, 255)),
    "png 2 transparent": (png(2, 0, 1, **_trns(1)), (0, 0, 0, 0)),
    "png 2 other transparent": (png(2, 0, 1, **_trns(2)), (85, 85, 85, 255)),
    "png 4 transparent": (png(4, 0, 15, **_trns(15)), (0, 0, 0, 0)),
    "png 4 other transparent": (png(4, 0, 1, **_trns(15)), (17, 17, 17, 255)),
    "png 8 transparent": (png(8, 0, 9, **_trns(9)), (0, 0, 0, 0)),
    "png 8 other transparent": (png(8, 0, 9, **_trns(8)), (9, 9, 9, 255)),
    "png 16": (png(16, 0, 1000), (4, 4, 4, 255)),
    "png 16 transparent": (png(16, 0, 1000, **_trns(1000)), (0, 0, 0, 0)),
    "png 16 other transparent": (png(16, 0, 1000, **_trns(1001)), (4, 4, 4, 255)),
    "png rgb 8 transparent": (png(8, 2, 9, 8, 7, **_trns(9, 8, 7)), (0, 0, 0, 0)),
    "png rgb 8 other transparent": (png(8, 2, 9, 8, 7, **_trns(9, 8, 6)), (9, 8, 7, 255)),
    "png rgb 16": (png(16, 2, 18 * 257, 86 * 257, 154 * 257), (18, 86, 154, 255)),
    "png rgb 16 transparent": (png(16, 2, 4660, 22136, 9, **_trns(4660, 22136, 9)), (0, 0, 0, 0)),
    "png rgb 16 other transparent": (png(16, 2, 2304, 2048, 0, **_trns(9, 8, 0)), (9, 8, 0, 255)),
    "png palette": (png(8, 3, 1, **PALETTE), (0, 0, 255, 255)),
    "png palette of 1 bit transparent": (png(1, 3, 1, **PALETTE, tRNS=b"\xff\0"), (0, 0, 0, 0)),
    "png palette of 4 bits half": (png(4, 3, 0, **PALETTE, tRNS=b"\x80"), (255, 0, 0, 128)),
    "png palette other half": (png(8, 3, 1, **PALETTE, tRNS=b"\x80"), (0, 0, 255, 255)),
    "png grey-alpha 8": (png(8, 4, 77, 128), (77, 77, 77, 128)),
    "png grey-alpha 16": (png(16, 4, 117 * 257, 128 * 257), (117, 117, 117, 128)),
    "png rgba 8": (png(8, 6, 255, 0, 0, 128), (255, 0, 0, 128)),
    "png rgba 16": (png(16, 6, 65535, 0, 0, 128 * 257), (255, 0, 0, 128)),
    "jpeg grey": (saved(plain("L", 77), "JPEG"), (77, 77, 77, 255)),
    "jpeg": (saved(plain("RGB", RED), "JPEG"), (*RED, 255)),
    "jpeg of inks": (saved(plain("CMYK", (0, 255, 255, 0)), "JPEG"), (*RED, 255)),
    "gif": (saved(_SHOWN, "GIF"), (*RED, 255)),
    "gif transparent": (saved(_SHOWN, "GIF", transparency=0), (0, 0, 0, 0)),
    "bmp 1": (saved(plain("1", 1), "BMP"), (255, 255, 255, 255)),
    "bmp palette": (saved(_SHOWN, "BMP"), (*RED, 255)),
    "bmp": (saved(plain("RGB", (1, 2, 3)), "BMP"), (1, 2, 3, 255)),
    "webp": (saved(plain("RGB", (1, 2, 3)), "WEBP", lossless=True), (1, 2, 3, 255)),
    "webp transparent": (saved(plain("RGBA", (9, 9, 9, 0)), "WEBP", lossless=True), (0, 0, 0, 0)),
}
# Files that the trainer reads and the runtime does not.
MORE_FILES: dict[str, tuple[bytes, Colour]] = {
    "tiff": (saved(plain("RGB", (1, 2, 3)), "TIFF"), (1, 2, 3, 255)),
    "tiff 1": (saved(plain("1", 1), "TIFF", compression="group4"), (255, 255, 255, 255)),
    "tiff 16": (saved(plain("I;16", 117 * 257), "TIFF"), (117, 117, 117, 255)),
    "tiff lzw": (saved(plain("RGB", (1, 2, 3)), "TIFF", compression="tiff_lzw"), (1, 2, 3, 255)),
    "tiff deflate": (
        saved(plain("L", 77), "TIFF", compression="tiff_adobe_deflate"),
        (77, 77, 77, 255),
    ),
    "tiff jpeg": (saved(plain("L", 77), "TIFF", compression="jpeg"), (77, 77, 77, 255)),
    "tiff transparent": (saved(plain("RGBA", (9, 9, 9, 0)), "TIFF"), (0, 0, 0, 0)),
    "tiff of inks": (saved(plain("CMYK", (0, 255, 255, 0)), "TIFF"), (*RED, 255)),
    "tiff palette": (saved(_SHOWN, "TIFF"), (*RED, 255)),
    "ppm": (saved(plain("RGB", (1, 2, 3)), "PPM"), (1, 2, 3, 255)),
    "ppm grey": (saved(plain("L", 77), "PPM"), (77, 77, 77, 255)),
}
# Kinds whose colours are rounded on the way: by up to 2 levels.
ROUNDED = {"La", "RGBa", "YCbCr", "LAB", "jpeg grey", "jpeg", "jpeg of inks"}


def same_colour(pixels: np.ndarray, colour: Colour, kind: str) -> bool:
    """Whether pixels uint8 [..., 1, 3 or 4] have the colour RGBA: its grey or RGB over white."""
    over_white = 255 + (np.array(colour[:3]) - 255) * colour[3] / 255
    grey = over_white @ (0.299, 0.587, 0.114)  # ITU-R BT.601
    expected = {1: [grey], 3: over_white, 4: colour}[pixels.shape[-1]]
    # Half a level of rounding, which a grey of a rounded colour has twice.
    tolerance = 2 if kind in ROUNDED else 1 if pixels.shape[-1] == 1 else 0.51
    return bool((abs(pixels - np.array(expected)) <= tolerance).all())


# The four pixels of UPRIGHT in the order in which an EXIF orientation says that they are stored.
UPRIGHT = np.array([[10, 90], [170, 250]], np.uint8)
STORED = {
    1: (10, 90, 170, 250),
    2: (90, 10, 250, 170),
    3: (250, 170, 90, 10),
    4: (170, 250, 10, 90),
    5: (10, 170, 90, 250),
    6: (90, 250, 10, 170),
    7: (250, 90, 170, 10),
    8: (170, 10, 250, 90),
}
_SHORT, _ASCII, _RATIONAL = 3, 2, 5
# EXIF that cameras and programs write against its specification: (tag, type, count, value).
ODD_EXIF = {
    "proper": (),
    "width as text": ((0x0100, _ASCII, 4, b"64\0\0"),),
    "resolution as text": ((0x011A, _ASCII, 4, b"300\0"),),
    "make as rational": ((0x010F, _RATIONAL, 1, struct.pack("<II", 7, 1)),),
}


# EXIF that says nothing about the orientation.
NO_ORIENTATION = {
    "zero": ((0x0112, _SHORT, 1, bytes(4)),),
    "nine": ((0x0112, _SHORT, 1, struct.pack("<HH", 9, 0)),),
    "text": ((0x0112, _ASCII, 2, b"6\0\0\0"),),
    "no number": ((0x0112, _RATIONAL, 1, bytes(8)),),
    "no type": ((0x0112, 99, 1, b"\6\0\0\0"),),
    "not there": ((0x0112, _SHORT, 2**31 - 1, b"\xff\xff\xff\0"),),
}


def exif_of(*tags: tuple[int, int, int, bytes]) -> bytes:
    """EXIF with these tags: number, type, count, value."""
    tags = tuple(sorted(tags))
    after = 8 + 2 + 12 * len(tags) + 4
    values = b"".join(value for *_, value in tags if len(value) > 4)
    directory = struct.pack("<H", len(tags))
    for tag, kind_of_value, count, value in tags:
        stored = value if len(value) <= 4 else struct.pack("<I", after)
        directory += struct.pack("<HHI4s", tag, kind_of_value, count, stored)
    return b"Exif\0\0II*\0\x08\0\0\0" + directory + bytes(4) + values


def turned(orientation: int, kind: str = "PNG", odd: str = "proper") -> bytes:
    """A file that shows UPRIGHT once its EXIF orientation is applied, and may have odd EXIF."""
    exif = exif_of(*ODD_EXIF[odd], (0x0112, _SHORT, 1, struct.pack("<HH", orientation, 0)))
    pixels = np.array(STORED[orientation], np.uint8).reshape(2, 2)
    return saved(
        Image.fromarray(pixels), kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {})
    )


# Those of sRGB, as profiles have them (D50), but red and green changed places.
SWAPPED = {
    b"rXYZ": (0.3851, 0.7169, 0.0971),
    b"gXYZ": (0.4361, 0.2225, 0.0139),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}


def colour_profile(space: bytes, name: bytes = b"of a test") -> bytes:
    """An ICC profile of GRAY or RGB with linear tones, which in RGB has SWAPPED primaries."""
    linear = b"curv" + bytes(8)
    tags = {b"desc": b"desc" + struct.pack(">4xI", len(name) + 1) + name + bytes(80)}
    tags |= {b"wtpt": xyz(0.9642, 1.0, 0.8249)}
    if space == b"GRAY":
        tags |= {b"kTRC": linear}
    else:
        tags |= {key: xyz(*values) for key, values in SWAPPED.items()}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), linear)
    table, content, start = b"", b"", 132 + 12 * len(tags)
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    header = struct.pack(">I4xI", start + len(content), 0x02100000) + b"mntr" + space + b"XYZ "
    header = header.ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + xyz(0.9642, 1.0, 0.8249)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + content


def xyz(*values: float) -> bytes:
    return b"XYZ " + struct.pack(">4x3i", *(round(value * 65536) for value in values))
