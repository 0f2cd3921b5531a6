"""`diffkiln-sample`: a picture, an animation or a folder of images from a bundle."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bundle import MANIFEST, Bundle, open_bundle
from .command import Command, checked_steps, load_sampler
from .device import DEVICES
from .errors import BundleError
from .images import CHANNELS, GAP, enlarge, grid, grid_shape, save_folder, save_gif, save_png
from .limits import MAX_BATCH, MAX_COUNT, MAX_THREADS, SEED_END
from .options import Option, bad_flag, file_path, one_of, require_writable, whole_number

if TYPE_CHECKING:
    from .sampler import Sampler

MAX_GRID_COUNT = 4096
MAX_SCALE = 64

# A quarter of a gigabyte of pixels: more would not open in a viewer, and may not fit in memory.
MAX_PIXELS = 2**28
# The format stores width and height in 16 bits.
MAX_GIF_SIDE = 2**16 - 1

OPTIONS = (
    Option("bundle", file_path, "the folder that diffkiln-export wrote", required=True),
    Option(
        "out",
        file_path,
        "what to write: a .png (a grid; one image alone if --count=1), a .gif (the denoising), "
        "either replacing what is there, or a new or empty folder for PNGs named by their seeds",
        required=True,
    ),
    Option("count", whole_number(1, MAX_COUNT), "how many images", "16"),
    Option(
        "seed", whole_number(0, SEED_END - 1), "seed of the first image, then one more each", "0"
    ),
    Option("steps", whole_number(1, 10**6), "denoising steps; by default the bundle's"),
    Option("device", one_of(DEVICES), "auto, cpu or cuda", "auto"),
    Option("threads", whole_number(1, MAX_THREADS), "CPU threads; by default the physical cores"),
    Option(
        "max_batch",
        whole_number(1, MAX_BATCH),
        "the most images computed at once; by default found by measuring",
    ),
    Option("scale", whole_number(1, MAX_SCALE), "enlarge each pixel so many times", "1"),
)


@dataclass(frozen=True)
class Request:
    """Flags that have been checked, also against the bundle; `ending` "" asks for a folder."""

    out: Path
    ending: str
    count: int
    seed: int
    steps: int
    scale: int


def checked_request(values: Mapping[str, Any], bundle: Bundle) -> Request:
    """Make the request; UsageError or BundleError if what the flags ask cannot be done."""
    out, count, seed = values["out"], values["count"], values["seed"]
    if seed + count > SEED_END:
        raise bad_flag("seed", seed, f"expected at most 2**63 - count, {SEED_END - count}")
    ending = _checked_ending(out)
    if ending == ".png" and count > MAX_GRID_COUNT:
        raise bad_flag(
            "count", count, f"expected at most {MAX_GRID_COUNT} for a .png; give --out a folder"
        )
    if bundle.image_shape[-1] not in CHANNELS:
        raise BundleError(
            f"{bundle.path / MANIFEST}: images have {bundle.image_shape[-1]} channels, expected 1, "
            "3 or 4 for a picture; use diffkiln.runtime.Sampler for arrays"
        )
    request = Request(
        out=out,
        ending=ending,
        count=count,
        seed=seed,
        steps=checked_steps(bundle, values["steps"]),
        scale=values["scale"],
    )
    _require_moderate_size(request, bundle.image_shape)
    return request


def _checked_ending(out: Path) -> str:
    ending = out.suffix.lower()
    if ending not in ("", ".png", ".gif"):
        raise bad_flag("out", out, "expected a .png, a .gif, or a folder's name without a dot")
    require_writable("out", out, folder=not ending)
    return ending


def _require_moderate_size(request: Request, image_shape: tuple[int, int, int]) -> None:
    height, width, _ = image_shape
    rows, columns = (1, 1) if request.ending == "" else grid_shape(request.count)
    height = (rows * (height + GAP) - GAP) * request.scale
    width = (columns * (width + GAP) - GAP) * request.scale
    frames = request.steps if request.ending == ".gif" else 1
    if frames * height * width > MAX_PIXELS:
        raise bad_flag(
            "out",
            request.out,
            f"would have {frames} frame(s) of {width} x {height} pixels, expected at most "
            f"{MAX_PIXELS} pixels in all; lower --count, --scale or, for a .gif, --steps",
        )
    if request.ending == ".gif" and max(height, width) > MAX_GIF_SIDE:
        raise bad_flag(
            "out",
            request.out,
            f"would have {width} x {height} pixels, expected at most {MAX_GIF_SIDE} a side in a "
            ".gif; lower --count or --scale",
        )


def write(request: Request, sampler: "Sampler") -> None:
    """Sample what was requested and write it, whole or not at all."""
    count = request.count
    settings: dict[str, Any] = {"steps": request.steps, "seed": request.seed}
    if request.ending == ".png":
        save_png(request.out, _picture(sampler.sample(count, **settings), request.scale))
    elif request.ending == ".gif":
        frames = (
            _picture(images, request.scale) for _, images in sampler.stepwise(count, **settings)
        )
        save_gif(request.out, frames)
    else:
        batches = (enlarge(batch, request.scale) for batch in sampler.batches(count, **settings))
        save_folder(request.out, batches, seed=request.seed)


def _picture(images: Any, scale: int) -> Any:
    """Lay out one image as it is, several as a grid, enlarged."""
    picture = images[0] if len(images) == 1 else grid(images)
    return enlarge(picture[None], scale)[0]


def _sample(values: Mapping[str, Any]) -> None:
    bundle = open_bundle(values["bundle"])
    request = checked_request(values, bundle)
    start = time.perf_counter()
    sampler = load_sampler(
        bundle,
        device=values["device"],
        threads=values["threads"],
        max_batch=values["max_batch"],
    )
    write(request, sampler)
    seconds = time.perf_counter() - start
    print(
        f"wrote {request.out}: count {request.count}, seeds {request.seed} to "
        f"{request.seed + request.count - 1}, steps {request.steps}, device {sampler.device}, "
        f"{seconds:.2f} s",
        flush=True,
    )


main = Command(
    program="diffkiln-sample",
    purpose="Sample images from an exported bundle.",
    example="diffkiln-sample --bundle=flowers.bundle --count=16 --steps=20 --out=flowers.png",
    options=OPTIONS,
    body=_sample,
).main
