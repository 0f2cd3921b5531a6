"""Small pictures of every kind, damaged at random: bytes flipped, cut out, put in and repeated."""

import random
from collections.abc import Iterator

from pictures import FILES, MORE_FILES, picture, saved, turned
from PIL import features

_INTERESTING = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\x80",
)


def whole_pictures() -> dict[str, bytes]:
    """A picture of every kind, some with an orientation and other tags."""
    noise = picture(0, 24)
    exif = {f"{kind} turned": turned(6, kind) for kind in ("JPEG", "PNG", "WEBP")}
    more = {
        "jpeg large": saved(noise, "JPEG"),
        "jpeg progressive": saved(noise, "JPEG", progressive=True),
        "mpo": saved(noise, "MPO", save_all=True, append_images=[noise]),
        "png large": saved(noise, "PNG"),
        "webp large": saved(noise, "WEBP"),
        "webp animated": saved(noise, "WEBP", save_all=True, append_images=[noise.rotate(90)]),
        "gif animated": saved(noise, "GIF", save_all=True, append_images=[noise.rotate(90)]),
        "tiff frames": saved(noise, "TIFF", save_all=True, append_images=[noise]),
        **{
            f"tiff {name}": saved(noise, "TIFF", compression=name)
            for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "lzma")
        },
        **({"avif": saved(noise, "AVIF")} if "avif" in features.get_supported() else {}),
        "tiff tiled": saved(noise, "TIFF", tile=(16, 16)),
        "tiff group 3": saved(noise.convert("1"), "TIFF", compression="group3"),
    }
    return {
        **{kind: contents for kind, (contents, _) in (FILES | MORE_FILES).items()},
        **exif,
        **more,
    }


def damaged(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield `count` damaged pictures and what they were."""
    generator, whole = random.Random(seed), whole_pictures()
    for kind in generator.choices(sorted(whole), k=count):
        data = bytearray(whole[kind])
        for _ in range(generator.choice((1, 1, 2, 4, 8))):
            _damage(data, generator)
        yield kind, bytes(data)


def _damage(data: bytearray, generator: random.Random) -> None:
    # Headers come first, and hold what leads furthest astray.
    start = (
        min(int(generator.expovariate(1 / 60)), len(data))
        if generator.random() < 0.5
        else generator.randrange(len(data) + 1)
    )
    end = start + generator.randrange(1, 16)
    match generator.randrange(6):
        case 0:
            data[start:end] = b""
        case 1:
            data[start:start] = generator.randbytes(end - start)
        case 2:
            data[start:start] = data[start:end]
        case 3:
            number = generator.choice(_INTERESTING)
            data[start : start + len(number)] = number
        case 4 if generator.random() < 0.3:
            del data[start:]
        case _:
            data[start : start + 1] = generator.randbytes(1)
