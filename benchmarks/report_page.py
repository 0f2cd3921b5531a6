"""docs/report.md, its tables and its pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from report_model import Pictures

from diffkiln.runtime.output.images import grid, save_picture

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "report.md"


def save_rows(name: str, rows: Sequence[Pictures]) -> None:
    """Write rows of pictures as docs/images/report-NAME.png."""
    strips = [grid(row, one_row=True) for row in rows]
    save_picture(DOCS / f"images/report-{name}.png", grid_of(strips))
    print(f"report-{name}.png", flush=True)


def grid_of(strips: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    between = np.full((2, *strips[0].shape[1:]), 255, np.uint8)
    stacked = [part for strip in strips for part in (strip, between)]
    return np.concatenate(stacked[:-1])


def write_table(name: str, lines: Sequence[str]) -> None:
    """Write lines between the marks of this name in docs/report.md."""
    before, after = require_marks(name)
    begin, end = marks(name)
    text = "\n".join((begin, "", *lines, "", end))
    PAGE.write_text(f"{before}{text}{after}", encoding="utf-8")


def require_marks(name: str) -> tuple[str, str]:
    """What comes before and after the marks of this name; ValueError where there are none."""
    begin, end = marks(name)
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    return before, after


def marks(name: str) -> tuple[str, str]:
    """The comments around a table of this name."""
    return f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
