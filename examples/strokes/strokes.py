"""Make pen strokes to learn from: python strokes.py OUT.npz COUNT SEED (strokes.npz, 4096 and 0).

A drawing is float32 [64, 3]: where the pen is, x and y in millimetres with y upwards, and whether
it touches the paper, 1 or 0. It draws two lines, and lifts the pen in between.
"""

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # [26, 2]; a drawing reaches from about -1 to 1

LINE, LIFTED = 26, 12  # points
MILLIMETRES = 20.0  # from 0 to 1
ALONG = np.linspace(0.0, 1.0, LINE)
CORNERS = np.arange(6, dtype=np.int64)


def loops(random: np.random.Generator) -> tuple[Points, Points]:
    """A row of handwritten loops, and a line below."""
    angle = 2 * np.pi * random.choice([2, 3]) * ALONG
    height, width = random.uniform(0.35, 0.5), random.uniform(0.22, 0.3)
    x, y = 1.6 * ALONG - 0.8 - width * np.sin(angle), 0.15 - height * np.cos(angle)
    return np.stack([x, y], axis=1), np.stack([2 * ALONG - 1, np.full(LINE, -0.65)], axis=1)


def spirals(random: np.random.Generator) -> tuple[Points, Points]:
    """Two arms that wind outwards."""
    angle = np.pi * random.uniform(1.8, 2.4) * ALONG
    radius = 0.1 + 0.85 * ALONG
    arm = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return arm, -arm


def zigzags(random: np.random.Generator) -> tuple[Points, Points]:
    """Two zigzags, one below the other."""
    height = random.uniform(0.25, 0.4)
    corners = np.stack([np.linspace(-1, 1, 6), height * np.tile([-1, 1], 3)], axis=1)
    row, middle = joined(corners), np.array([0, 0.45])
    return row + middle, row - middle


def stars(random: np.random.Generator) -> tuple[Points, Points]:
    """A star with five points, and a smaller one beside it."""
    angle = random.uniform(0, 2 * np.pi) + 0.8 * np.pi * CORNERS
    star = joined(np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return 0.6 * star - (0.5, 0), random.uniform(0.3, 0.45) * star + (0.55, 0)


def joined(corners: Points) -> Points:
    """The six corners with straight sides between them."""
    return np.stack([np.interp(5 * ALONG, CORNERS, axis) for axis in corners.T], axis=1)


CLASSES: tuple[Callable[[np.random.Generator], tuple[Points, Points]], ...]
CLASSES = (loops, spirals, zigzags, stars)


def drawing(label: int, random: np.random.Generator) -> NDArray[np.float32]:
    """A drawing of the class, with a size, a slope, a place and a hand of its own."""
    first, second = CLASSES[label](random)
    way = np.linspace(first[-1], second[0], LIFTED + 2)[1:-1]
    points = np.concatenate([first, way, second])
    angle = random.uniform(-0.3, 0.3)
    turned = points @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    placed = random.uniform(0.7, 1.1) * turned + random.normal(0, 0.1, 2) + wobble(random)
    pen = np.ones((len(points), 1))
    pen[LINE : LINE + LIFTED] = 0
    return np.concatenate([MILLIMETRES * placed, pen], axis=1).astype(np.float32)


def wobble(random: np.random.Generator) -> NDArray[np.float64]:
    """How a hand strays from its line: a few slow waves, [64, 2]."""
    waves = np.arange(1, 5, dtype=np.int64)[:, None, None]
    time = np.linspace(0, 2 * np.pi, 2 * LINE + LIFTED)[:, None]
    phases = random.uniform(0, 2 * np.pi, (4, 1, 2))
    return (random.normal(0, 0.02, (4, 1, 2)) * np.sin(waves * time + phases)).sum(axis=0)


def main(out: str = "strokes.npz", count: str = "4096", seed: str = "0") -> None:
    """Write `count` drawings, as many of each class, and their labels."""
    random = np.random.default_rng(int(seed))
    labels = np.arange(int(count), dtype=np.int64) % len(CLASSES)
    samples = np.stack([drawing(int(label), random) for label in labels])
    names = np.array([draw.__name__ for draw in CLASSES])
    np.savez_compressed(out, samples=samples, labels=labels, class_names=names)


if __name__ == "__main__":
    main(*sys.argv[1:])
