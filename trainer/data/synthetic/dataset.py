"""Procedural flowers: a data set that needs no download, for first runs and for tests.

Each picture is one flower in focus before a meadow out of focus, lit softly from one side.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import ImageFilter

from .canvas import Floats, colours, grid, mix, ramp, to_picture
from .flower import Pose, paint_flower
from .species import SPECIES

_SUPERSAMPLING = 3
_LEAF_GREEN = colours("5c8f3d")[0]
# Far away, horizon and near by; dusky greens and blues, and warm evenings.
_MEADOWS = (
    "b4d0ba 6b9a78 2f4c38",
    "c4dce6 84aea6 3f6650",
    "f0dcaa b2b670 56703a",
    "94b8d4 54828e 2a4a4c",
    "f4c4a4 b89c78 5c6a44",
    "6a947c 3a6048 1e3628",
    "dcc4e4 94a2b0 46665c",
)


def flowers_of(
    numbers: Iterable[int], *, image_size: int, seed: int
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield drawn flowers uint8 [image_size, image_size, 3] by number, and their place in SPECIES.

    A flower depends on (seed, number) alone: another image_size shows the same flower.
    """
    for number in numbers:
        yield _picture(np.random.default_rng([seed, number]), image_size)


def _picture(random: Generator, image_size: int) -> tuple[NDArray[np.uint8], int]:
    # The light comes from above, from the left or the right, but never straight down.
    light_angle = -math.pi / 2 + random.choice((-1, 1)) * random.uniform(0.4, 1.1)
    meadow = colours(_MEADOWS[random.integers(len(_MEADOWS))])
    label = int(random.integers(len(SPECIES)))
    species = list(SPECIES)[label]
    near = Pose(
        x=random.uniform(-0.08, 0.08),
        y=random.uniform(-0.14, 0.0),
        radius=random.uniform(0.7, 0.9),
        tilt=random.uniform(0.8, 1.0),
        tilt_angle=random.uniform(0, math.pi),
        turn=random.uniform(0, 2 * math.pi),
        light_angle=float(light_angle),
    )
    far = random.random() < 0.35
    canvas = _meadow(random, meadow, image_size)
    if far:
        side, turn = random.choice((-0.65, 0.65)), random.uniform(0, 2 * math.pi)
        y, radius = random.uniform(-0.75, -0.5), random.uniform(0.32, 0.42)
        away = replace(near, x=float(side), y=y, radius=radius, turn=turn)
        canvas = paint_flower(canvas, away, species=species, random=random)
        blurred = to_picture(canvas).filter(ImageFilter.GaussianBlur(image_size / 32))
        canvas = np.ascontiguousarray(np.asarray(blurred, np.float32).transpose(2, 0, 1)) / 255
    canvas = _lights(random, canvas, meadow[0], light_angle)
    canvas = canvas.repeat(_SUPERSAMPLING, axis=1).repeat(_SUPERSAMPLING, axis=2)
    canvas = _paint_plant(random, canvas, near, meadow[2])
    canvas = paint_flower(canvas, near, species=species, random=random)
    return np.asarray(to_picture(canvas).reduce(_SUPERSAMPLING)), label


def _meadow(random: Generator, colour: list[Floats], side: int) -> Floats:
    """Return a soft gradient from far (above) to near (below), [3, side, side]."""
    x, y = grid(side)
    depth = y + random.uniform(-0.4, 0.4) * x
    horizon = random.uniform(-0.3, 0.3)
    canvas = mix(colour[0], colour[1], ramp(-1.1, horizon, depth))
    return mix(canvas, colour[2], ramp(horizon, 1.2, depth))


def _lights(random: Generator, canvas: Floats, colour: Floats, light_angle: float) -> Floats:
    """Paint a glow where the light comes from and discs of light out of focus (bokeh)."""
    x, y = grid(canvas.shape[-1])
    glow = x * math.cos(light_angle) + y * math.sin(light_angle)
    canvas = canvas * (1 + 0.16 * glow)
    for _ in range(8):
        radius, strength = random.uniform(0.1, 0.3), random.uniform(0.08, 0.4)
        distance = np.hypot(x - random.uniform(-1, 1), y - random.uniform(-1, 0.7))
        # A lens draws a point out of focus as a disc, a little brighter at its rim.
        disc = ramp(radius * 1.12, radius * 0.88, distance) * (0.7 + 0.3 * distance / radius)
        canvas = mix(canvas, 0.5 + 0.5 * colour, strength * disc)
    return canvas


def _paint_plant(random: Generator, canvas: Floats, pose: Pose, ground: Floats) -> Floats:
    """Paint a bent stem from the flower to the lower edge with a leaf on each side."""
    x, y = grid(canvas.shape[-1])
    green = mix(ground, _LEAF_GREEN, random.uniform(0.5, 0.9))
    foot, bend = pose.x + random.uniform(-0.15, 0.15), random.uniform(-0.1, 0.1)
    for side in (-1, 1):
        canvas = _paint_leaf(random, canvas, foot, side, green)
    depth = (y - pose.y) / (1 - pose.y)
    across = x - (pose.x + (foot - pose.x) * depth + bend * np.sin(math.pi * depth))
    towards_light = across * math.copysign(1, math.cos(pose.light_angle))
    stem = green * (0.8 + 0.4 * np.clip(towards_light / 0.05, -1, 1))
    return mix(canvas, stem, ramp(0.05, 0.03, abs(across)) * (depth > 0))


def _paint_leaf(random: Generator, canvas: Floats, foot: float, side: int, green: Floats) -> Floats:
    x, y = grid(canvas.shape[-1])
    x, y = side * (x - foot), y - random.uniform(0.95, 1.2)
    rise, length = random.uniform(0.3, 0.9), random.uniform(0.8, 1.1)
    along = (x * math.cos(rise) - y * math.sin(rise)) / length
    # The leaf droops: its middle line is a parabola.
    across = x * math.sin(rise) + y * math.cos(rise) - 0.25 * along * (1 - along)
    half_width = 0.2 * np.sin(math.pi * np.clip(along, 0, 1))
    veins = 0.06 * np.cos(40 * (along + abs(across))) + 0.25 * ramp(0.025, 0.0, abs(across))
    leaf = green * (0.9 - 0.9 * across + veins)
    return mix(canvas, leaf, ramp(0, 0.03, half_width - abs(across)))
