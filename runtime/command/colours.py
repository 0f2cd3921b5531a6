"""The pixels of any picture as grey, RGB or RGBA of 8 bits, in sRGB, as the trainer reads them."""

import contextlib
import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# Pillow converts these modes to RGB and RGBA only by way of another one.
_BETWEEN = {"La": "LA", "LAB": "RGB"}
# The colour spaces of profiles that fit a picture's mode.
_SPACES = {"L": "GRAY", "LA": "GRAY", "RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}
_SIXTEEN_BITS = (0.0, 65535.0)
_PORTION = 2**20


def plain(picture: Image.Image, channels: int, levels: tuple[float, float] | None) -> Image.Image:
    """Return a picture of any mode with 1, 3 or 4 channels of 8 bits.

    `levels` are those of black and white in a picture with more than 8 bits of grey, by default 0
    and 65535. A colour
    profile in the picture counts. Transparency is laid over white unless there are 4 channels.
    Raises ValueError for floating-point pictures without `levels`.
    """
    profile = picture.info.get("icc_profile")
    if picture.mode == "F" and not levels:
        raise ValueError("mode F; convert it to 8 or 16 bits")
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = _grey(picture, levels)
    elif picture.mode in _BETWEEN:
        picture = picture.convert(_BETWEEN[picture.mode])
    if profile:
        picture = _in_srgb(picture, profile)
    if picture.has_transparency_data and channels < 4:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert(_MODES[channels])


def _in_8_bits(pixels: np.ndarray, levels: tuple[float, float] | None) -> np.ndarray:
    """Pixels of any dtype as uint8, 0 at the first of the levels and 255 at the second."""
    black, white = levels or _SIXTEEN_BITS
    flat, grey = pixels.reshape(-1), np.empty(pixels.size, np.uint8)
    # In portions, since floats take eight times the memory of a picture that may fill much of it.
    for start in range(0, pixels.size, _PORTION):
        part = slice(start, start + _PORTION)
        shares = np.clip((flat[part].astype(np.float64) - black) / (white - black), 0, 1)
        grey[part] = (np.nan_to_num(shares) * 255 + 0.5).astype(np.uint8)
    return grey.reshape(pixels.shape)


def _grey(picture: Image.Image, levels: tuple[float, float] | None) -> Image.Image:
    """Return levels of many bits as grey of 8 bits, with alpha where one level is transparent."""
    pixels = np.asarray(picture)
    grey = Image.fromarray(_in_8_bits(pixels, levels))
    if (transparent := picture.info.get("transparency")) is None:
        return grey
    alpha = Image.fromarray((pixels != transparent).astype(np.uint8) * np.uint8(255))
    return Image.merge("LA", (grey, alpha))


def _in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Return the picture in sRGB; as it is, if the profile is sRGB's own, damaged or does not fit.

    Another profile of sRGB would only add errors of rounding.
    """
    if picture.mode == "P":  # whose palette is RGB
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        properties: Any = source.profile
        fits = properties.xcolor_space.strip() == _SPACES.get(picture.mode)
        if fits and "srgb" not in ImageCms.getProfileDescription(source).lower():
            return _converted(picture, source)
    return picture


def _converted(picture: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    """Return a picture in sRGB; alpha stays as it is, of which ImageCms knows only RGB's."""
    alpha = picture.getchannel("A") if picture.mode in ("LA", "RGBA") else None
    opaque = picture.convert({"LA": "L", "RGBA": "RGB"}[picture.mode]) if alpha else picture
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(opaque, source, srgb, outputMode="RGB")
    if alpha and converted:
        converted.putalpha(alpha)
    return converted or picture
