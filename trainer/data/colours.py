"""The pixels of any picture as grey or RGB of 8 bits, in sRGB."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageCms

_MODES = {1: "L", 3: "RGB"}
# Pillow converts these modes to RGB and RGBA only by way of another one.
_BETWEEN = {"La": "LA", "LAB": "RGB"}
# The colour spaces of profiles that fit a picture's mode.
_SPACES = {"L": "GRAY", "LA": "GRAY", "RGB": "RGB", "RGBA": "RGB", "CMYK": "CMYK"}
_SIXTEEN_BITS = (0.0, 65535.0)
_PORTION = 2**20


@dataclass(frozen=True)
class Colours:
    """How pixels are read.

    `channels` is 1 for grey (the luma of ITU-R BT.601) or 3 for RGB. `levels` are those of black
    and white in a picture with more than 8 bits of grey, by default 0 and 65535. `profiles` says
    whether a colour profile in the picture counts; without one, a picture is in sRGB.
    """

    channels: int = 3
    levels: tuple[float, float] | None = None
    profiles: bool = True

    def plain(self, image: Image.Image) -> Image.Image:
        """A picture of any mode in mode L or RGB, with transparency laid over white.

        Raises ValueError for floating-point pictures without `levels`, since their range is
        unknown.
        """
        profile = image.info.get("icc_profile") if self.profiles else None
        if image.mode == "F" and not self.levels:
            problem = "picture has mode F; expected integers"
            raise ValueError(f"{problem}; convert it to 8 or 16 bits, or give its levels")
        if image.mode == "F" or image.mode.startswith("I"):
            image = _grey(image, self.levels)
        elif image.mode in _BETWEEN:
            image = image.convert(_BETWEEN[image.mode])
        if profile:
            image = _in_srgb(image, profile)
        if image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        return image.convert(_MODES[self.channels])


def in_8_bits(pixels: np.ndarray, levels: tuple[float, float] | None) -> np.ndarray:
    """Pixels of any dtype as uint8, 0 at the first of the levels and 255 at the second."""
    black, white = levels or _SIXTEEN_BITS
    flat, grey = pixels.reshape(-1), np.empty(pixels.size, np.uint8)
    # In portions, since floats take eight times the memory of a picture that may fill much of it.
    for start in range(0, pixels.size, _PORTION):
        part = slice(start, start + _PORTION)
        shares = np.clip((flat[part].astype(np.float64) - black) / (white - black), 0, 1)
        grey[part] = (np.nan_to_num(shares) * 255 + 0.5).astype(np.uint8)
    return grey.reshape(pixels.shape)


def _grey(image: Image.Image, levels: tuple[float, float] | None) -> Image.Image:
    """Return levels of many bits as grey of 8 bits, with alpha where one level is transparent."""
    pixels = np.asarray(image)
    grey = Image.fromarray(in_8_bits(pixels, levels))
    if (transparent := image.info.get("transparency")) is None:
        return grey
    alpha = Image.fromarray((pixels != transparent).astype(np.uint8) * np.uint8(255))
    return Image.merge("LA", (grey, alpha))


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Return the picture in sRGB; as it is, if the profile is sRGB's own, damaged or does not fit.

    Another profile of sRGB would only add errors of rounding.
    """
    if image.mode == "P":  # whose palette is RGB
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        properties: Any = source.profile
        fits = properties.xcolor_space.strip() == _SPACES.get(image.mode)
        if fits and "srgb" not in ImageCms.getProfileDescription(source).lower():
            return _converted(image, source)
    return image


def _converted(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    """Return a picture in sRGB; alpha stays as it is, of which ImageCms knows only RGB's."""
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    opaque = image.convert({"LA": "L", "RGBA": "RGB"}[image.mode]) if alpha else image
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(opaque, source, srgb, outputMode="RGB")
    if alpha and converted:
        converted.putalpha(alpha)
    return converted or image
