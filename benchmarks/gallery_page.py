"""The gallery as a picture and as a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from example_programs import ExampleError
from gallery_hosts import HOSTS, Host, Pictures
from PIL import Image, ImageDraw, ImageFont

from diffkiln.runtime.output.images import enlarge, grid, save_picture

BEGIN, END = "<!-- begin: benchmarks/gallery.py writes this -->", "<!-- end -->"

_TITLE_WIDTH = max(len(host.title) for host in HOSTS.values())
_LEAST_HEIGHT, _FONT_SIZE, _LABEL_WIDTH, _GAP = 64, 14, 190, 6


@dataclass(frozen=True)
class Row:
    """What one host drew, and how it differs from the first host.

    `largest` is the largest difference in levels of 255; `share` is the share of pixels with a
    channel that differs.
    """

    host: Host
    version: str
    images: Pictures
    largest: int
    share: float

    def __str__(self) -> str:
        figures = f"largest difference {self.largest}, pixels that differ {_percent(self.share)}"
        return f"{self.host.title:{_TITLE_WIDTH}}  {figures}  ({self.version})"


def compared(images: Pictures, reference: Pictures) -> tuple[int, float]:
    """Return the largest difference in levels, and the share of pixels that differ."""
    away = np.abs(images.astype(int) - reference)
    return int(away.max()), float(away.any(axis=-1).mean())


def around_the_marks(page: Path) -> tuple[str, str]:
    """Return the page's text around the two marks; raise ExampleError if it lacks one."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ExampleError(f"{page} holds no {BEGIN} … {END}; put both where the table is to stand")
    return before + begin, end + after


def write(page: Path, around: tuple[str, str], rows: Sequence[Row], about: str) -> None:
    """Write images/gallery.png, and put it and the table between the page's marks."""
    picture = page.parent / "images" / "gallery.png"
    picture.parent.mkdir(exist_ok=True)
    save_picture(picture, _picture(rows))
    shown = f"![{len(rows)} rows of the same {len(rows[0].images)} pictures](images/gallery.png)"
    parts = (around[0], shown, _table(rows), about, around[1])
    page.write_text("\n\n".join(parts), encoding="utf-8")


def _table(rows: Sequence[Row]) -> str:
    cells = [("host", "version", "runs", "largest difference", "pixels that differ")]
    cells += [("---",) * 5]
    for row in rows:
        title, example = row.host.title, row.host.example
        title = f"[{title}](../examples/{example})" if example else title
        figures = (str(row.largest), _percent(row.share)) if row is not rows[0] else ("–", "–")
        files = ", ".join(f"`{file}`" for file in row.host.runs.split(", "))
        cells.append((title, row.version, files, *figures))
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _percent(share: float) -> str:
    return f"{share:.3%}" if share else "0"


def _picture(rows: Sequence[Row]) -> Pictures:
    """Draw a line of pictures for each host, with its name on the left."""
    scale = -(-_LEAST_HEIGHT // rows[0].images.shape[1])
    strips = [grid(enlarge(row.images, scale), one_row=True) for row in rows]
    height, width = strips[0].shape[0] + _GAP, strips[0].shape[1]
    size = (_LABEL_WIDTH + width, height * len(rows) - _GAP)
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_FONT_SIZE)
    for number, (row, strip) in enumerate(zip(rows, strips, strict=True)):
        top = number * height
        picture.paste(Image.fromarray(strip), (_LABEL_WIDTH, top))
        middle = (4, top + strip.shape[0] // 2)
        draw.text(middle, row.host.title, fill="black", font=font, anchor="lm")
    return np.asarray(picture)
