"""A look at the pictures of a run before it begins: their kinds, and what is wrong with some."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ..config import TrainConfig
from .batches import batches
from .colours import Colours
from .listing import Listing, PictureFiles
from .load import ImageData
from .ordered import Examples, OrderedImages
from .pictures import read_image

MOST_PICTURES = 10_000
SHEET_SIDE = 8
_NAMED, _COUNTED = 3, 8


@dataclass(frozen=True)
class Look:
    """What is known of one picture: why it cannot be read, or the SHA-256 of its pixels.

    `kind` is Pillow's name of the format, and `size` is (width, height); both are empty for data
    that is already decoded.
    """

    name: str
    held_out: bool
    label: str
    kind: str = ""
    size: tuple[int, int] = (0, 0)
    digest: str = ""
    fault: str = ""


def looks(source: Listing | OrderedImages, config: TrainConfig, colours: Colours) -> Iterator[Look]:
    """Look at the pictures of a source, or at 10,000 of them, in order."""
    if isinstance(source, Listing):
        yield from _of_files(source, config, colours)
        return
    for held_out, examples in enumerate((source.train(), source.evaluation())):
        yield from _of_examples(examples, bool(held_out), source.class_names)


def _of_examples(examples: Examples, held_out: bool, classes: Sequence[str]) -> Iterator[Look]:
    kind = "held-out image" if held_out else "image"
    for number, (image, label) in enumerate(itertools.islice(examples, MOST_PICTURES)):
        name = classes[label] if 0 <= label < len(classes) else ""
        yield Look(f"{kind} {number}", held_out, name, digest=_digest(image))


def _of_files(listing: Listing, config: TrainConfig, colours: Colours) -> Iterator[Look]:
    files = [
        (part, place, held_out)
        for held_out, part in ((False, listing), (True, listing.held_out))
        for place in range(len(part.names))
    ]
    chosen = np.random.default_rng(config.seed).permutation(len(files))[:MOST_PICTURES]

    def look(index: int) -> Look:
        return _look(*files[index], config, colours)

    with ThreadPoolExecutor() as pool:
        found = pool.map(look, np.sort(chosen).tolist())
        yield from tqdm(found, total=len(chosen), unit="picture", leave=False, disable=None)


def _look(
    files: PictureFiles, place: int, held_out: bool, config: TrainConfig, colours: Colours
) -> Look:
    name, label = files.names[place], files.classes[place]
    path = files.folder / name
    try:
        image = read_image(path, config.stored_shape[0], files.formats, colours, config.fit)
        with Image.open(path, formats=files.formats) as opened:
            kind, size = opened.format or "", opened.size
    except (OSError, ValueError) as error:
        return Look(name, held_out, label, fault=str(error))
    return Look(name, held_out, label, kind, size, _digest(image))


def _digest(image: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()


def in_words(found: Iterable[Look], config: TrainConfig) -> Iterator[tuple[str, str]]:
    """What was found, in lines of a name and a text, without those that would be empty."""
    found = list(found)
    readable = [look for look in found if not look.fault]
    yield "looked at", f"{len(found):,} pictures"
    for name, counts in (
        ("kinds", Counter(look.kind for look in readable if look.kind)),
        ("classes", Counter(look.label for look in found if look.label)),
    ):
        if counts:
            yield name, _counted(counts)
    sized = [look for look in readable if look.kind]
    # The side that becomes a side of the image.
    side, which = (max, "longer") if config.fit == "pad" else (min, "shorter")
    if sized:
        sides = sorted(side(look.size) for look in sized)
        yield "sides", f"the {which} ones are {sides[0]:,} to {sides[-1]:,} pixels"
    least = config.picture_size or config.image_size
    small = [look.name for look in sized if side(look.size) < least]
    yield from _listed("small", small, f"with fewer than {least} pixels a side")
    unreadable = [look.fault for look in found if look.fault]
    yield from _listed("damaged", unreadable, "that cannot be read")
    yield from _repeated(readable)


def _counted(counts: Counter[str]) -> str:
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.most_common(_COUNTED))
    more = len(counts) - _COUNTED
    return f"{listed}, and {more:,} more" if more > 0 else listed


def _listed(name: str, items: Sequence[str], what: str) -> Iterator[tuple[str, str]]:
    if items:
        more = ", …" if len(items) > _NAMED else ""
        yield name, f"{len(items):,} {what}: {', '.join(items[:_NAMED])}{more}"


def _repeated(found: Iterable[Look]) -> Iterator[tuple[str, str]]:
    """What has the same pixels as something before it, or on the other side of training."""
    groups: dict[str, list[Look]] = {}
    for look in found:
        groups.setdefault(look.digest, []).append(look)
    same = [group for group in groups.values() if len(group) > 1]
    pairs = [f"{group[0].name} = {group[-1].name}" for group in same]
    yield from _listed("repeated", pairs, "with the same pixels as another")
    parts = [{look.held_out for look in group} for group in same]
    both = [pair for pair, part in zip(pairs, parts, strict=True) if len(part) > 1]
    yield from _listed("in both", both, "both trained on and held out")


def contact_sheet(images: ImageData, config: TrainConfig) -> NDArray[np.uint8]:
    """The first 64 images that the network will see, in rows of 8, uint8 [8·S, 8·S, C]."""
    steps = batches(images.train, config, first_step=0)
    seen = itertools.chain.from_iterable(batch.numpy() for batch, _ in steps)
    rows = [list(itertools.islice(seen, SHEET_SIDE)) for _ in range(SHEET_SIDE)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])
