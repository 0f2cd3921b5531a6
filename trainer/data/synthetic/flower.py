"""One flower, seen from the front: rings of petals around a disc of seeds.

Petals are generalised rose curves, r = base + (1 - base)·cos(π/2·|u|^bluntness)^roundness, where u
in [-1, 1] runs across a petal. The seeds stand on the golden-angle spiral of Vogel (1979, "A better
way to construct the sunflower head"). Lengths are in units of the flower's radius.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from .canvas import Floats, colours, darken, grid, mix, ramp
from .species import PALETTES, SPECIES, Species

_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
_SEED_COUNT = 55


@dataclass(frozen=True)
class Pose:
    """Where a flower stands in a frame of [-1, 1], how it leans and where light comes from.

    Angles are in radians, clockwise from the right; tilt in (0, 1] foreshortens across tilt_angle.
    """

    x: float
    y: float
    radius: float
    tilt: float
    tilt_angle: float
    turn: float
    light_angle: float


@dataclass(frozen=True)
class _Bloom:
    """A flower in its own plane, arrays [side, side]; `pixel` is one pixel of the canvas."""

    species: Species
    palette: list[Floats]
    petal_count: int
    distance: Floats
    angle: Floats
    towards_light: Floats
    pixel: float

    def cover(self, canvas: Floats, colour: Floats, depth: Floats) -> Floats:
        """Return the canvas with the colour inside an edge that is depth away, inside positive."""
        return mix(canvas, colour, np.clip(depth * (1 / self.pixel) + 0.5, 0, 1))


def paint_flower(canvas: Floats, pose: Pose, *, species: str, random: Generator) -> Floats:
    """Return the canvas [3, side, side] with a flower of that species and its shadow on it."""
    palettes, counts = PALETTES[species], SPECIES[species].petal_counts
    palette = colours(palettes[random.integers(len(palettes))])
    count = counts[random.integers(len(counts))]
    bloom = _Bloom(SPECIES[species], palette, count, *_polar(pose, canvas.shape[-1]))
    canvas = darken(canvas, 0.42 * ramp(1.25, 0.6, bloom.distance + 0.25 * bloom.towards_light))
    for layer in range(bloom.species.layers):
        canvas = _paint_petals(canvas, bloom, layer, random)
    return _paint_disc(canvas, bloom)


def _polar(pose: Pose, side: int) -> tuple[Floats, Floats, Floats, float]:
    """Return distance, angle and towards_light of a flower's plane, and the size of a pixel."""
    x, y = grid(side)
    x, y = (x - pose.x) / pose.radius, (y - pose.y) / pose.radius
    cosine, sine = math.cos(pose.tilt_angle), math.sin(pose.tilt_angle)
    flat, steep = x * cosine + y * sine, (y * cosine - x * sine) / pose.tilt
    angle = np.arctan2(steep, flat) - pose.turn
    light = x * math.cos(pose.light_angle) + y * math.sin(pose.light_angle)
    return np.hypot(flat, steep), angle, light, 2 / (side * pose.radius)


def _paint_petals(canvas: Floats, bloom: _Bloom, layer: int, random: Generator) -> Floats:
    """Paint one ring of petals and, if it is not the first, its shadow on the one beneath."""
    species, count = bloom.species, bloom.petal_count
    # Half a petal of turn shows the layer beneath; a little chance keeps it alive.
    turn = (layer + random.uniform(-0.15, 0.15)) * math.pi / count
    phase = (bloom.angle - turn) * (count / (2 * math.pi))
    nearest = np.rint(phase)
    u, petal = 2 * (phase - nearest), nearest.astype(np.intp) % count
    length = random.uniform(0.9, 1.0, count).astype(np.float32)[petal]
    tone = random.uniform(-0.07, 0.07, count).astype(np.float32)[petal]
    edge = species.layer_ratio**layer * length * _rose(species, u)
    rim = bloom.distance / edge
    if layer:
        canvas = darken(canvas, 0.45 * ramp(1.2, 0.98, rim))
    # Seams and veins are dark, and one side of a petal is tucked beneath its neighbour.
    veins = 0.05 * np.cos(7 * math.pi * u) * ramp(1.0, 0.5, rim)
    shade = tone + (0.3 * ramp(0.65, 1.0, abs(u)) + veins + 0.08 * u) - 0.16 * bloom.towards_light
    rim_colour, base_colour, throat_colour = bloom.palette[:3]
    colour = mix(base_colour, rim_colour, ramp(0.25, 1.0, rim))
    throat = ramp(species.disc + 0.22, species.disc, bloom.distance)
    colour = darken(mix(colour, throat_colour, throat), shade)
    return bloom.cover(canvas, colour, edge - bloom.distance)


def _rose(species: Species, u: Floats) -> Floats:
    """Return the outline's distance for u in [-1, 1] across a petal, in (0, 1]."""
    bulge = np.cos(math.pi / 2 * abs(u) ** species.bluntness)
    # At the seam float32 may leave the cosine a hair below zero, where a power is undefined.
    profile = np.maximum(bulge, 0) ** species.roundness
    if species.notch:
        profile -= species.notch * np.exp(-((u / 0.22) ** 2))
    return species.base + (1 - species.base) * profile


def _paint_disc(canvas: Floats, bloom: _Bloom) -> Floats:
    """Paint the domed centre with its seeds and its shadow on the petals."""
    radius, (dark, light) = bloom.species.disc, bloom.palette[3:]
    distance = bloom.distance / radius
    canvas = darken(canvas, 0.4 * ramp(1.45, 0.9, distance))
    dome = 0.75 - 0.45 * distance**2 + 0.3 * bloom.towards_light / radius
    seeds = _seeds(distance, bloom.angle)
    colour = mix(dark, light, np.clip(dome * (0.45 + 0.75 * seeds), 0, 1))
    return bloom.cover(canvas, colour, radius - bloom.distance)


def _seeds(distance: Floats, angle: Floats) -> Floats:
    """Return 1 on a seed and 0 between seeds; distance is in units of the disc's radius."""
    index = np.arange(_SEED_COUNT, dtype=np.float32) + 0.5
    radius, turn = np.sqrt(index / _SEED_COUNT), _GOLDEN_ANGLE * index
    rows, columns = np.nonzero(distance < 1.1)
    reach, bearing = distance[rows, columns, None], angle[rows, columns, None]
    x = reach * np.cos(bearing) - radius * np.cos(turn)
    y = reach * np.sin(bearing) - radius * np.sin(turn)
    nearest = np.sqrt((x * x + y * y).min(axis=1))
    seeds = np.zeros_like(distance)
    seeds[rows, columns] = ramp(0.11, 0.03, nearest)
    return seeds
