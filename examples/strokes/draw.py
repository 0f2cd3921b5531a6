"""Draw strokes as an SVG picture: python draw.py SAMPLES.npz OUT.svg, or SAMPLES.npy.

The first 32 samples of the file are drawn, eight in a row. A line ends where the pen is lifted.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CELL, COLUMNS, MOST = 60, 8, 32  # CELL in millimetres


def lines(sample: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The points [.., 2] of each line: of all that is drawn without lifting the pen."""
    down = sample[:, 2] > 0.5
    ends = np.flatnonzero(np.diff(down)) + 1
    parts = np.split(sample[:, :2], ends)
    return [part for part, drawn in zip(parts, down[[0, *ends]], strict=True) if drawn]


def svg(samples: NDArray[np.float32]) -> str:
    """The picture of samples [N, 64, 3]; SVG has y downwards."""
    rows = -(-len(samples) // COLUMNS)
    shapes = []
    for number, sample in enumerate(samples):
        row, column = divmod(number, COLUMNS)
        middle = CELL * (np.array([column, row]) + 0.5)
        for line in lines(sample):
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in middle + line * (1, -1))
            shapes.append(f'<polyline points="{points}"/>')
    size = f"{CELL * COLUMNS} {CELL * rows}"
    pen = 'fill="none" stroke="#1a237e" stroke-width="1.5" stroke-linejoin="round"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<g {pen} stroke-linecap="round">',
            *shapes,
            "</g></svg>\n",
        ]
    )


if __name__ == "__main__":
    loaded = np.load(sys.argv[1])
    drawn = loaded if isinstance(loaded, np.ndarray) else loaded["samples"]
    Path(sys.argv[2]).write_text(svg(drawn[:MOST]), encoding="utf-8")
