"""docs/report.md, its tables and its pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report_model import Pictures

from diffkiln.runtime.output.images import grid, save_png

DOCS = Path(__file__).parents[1] / "docs"


def save_rows(name: str, rows: Sequence[Pictures]) -> None:
    """Write rows of pictures as docs/images/report-NAME.png."""
    strips = [grid(row, one_row=True) for row in rows]
    save_png(DOCS / f"images/report-{name}.png", grid_of(strips))
    print(f"report-{name}.png", flush=True)


def grid_of(strips: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    between = np.full((2, *strips[0].shape[1:]), 255, np.uint8)
    stacked = [part for strip in strips for part in (strip, between)]
    return np.concatenate(stacked[:-1])


def write_table(name: str, lines: Sequence[str]) -> None:
    """Write lines between the marks of this name in docs/report.md."""
    page = DOCS / "report.md"
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    text = "\n".join((begin, "", *lines, "", end))
    page.write_text(f"{before}{text}{after}", encoding="utf-8")
