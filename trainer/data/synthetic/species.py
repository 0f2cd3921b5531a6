"""The kinds of flower that the synthetic data set draws: petal outlines and harmonious colours."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Species:
    """A kind of flower; the outline's terms are those of the rose curve, in radii of the flower.

    petal_counts: the petals that one ring may have. disc: the radius of the centre. notch: how deep
    a petal's tip is cut. layer_ratio: the size of each ring to the one before.
    """

    petal_counts: tuple[int, ...]
    layers: int
    disc: float
    base: float
    bluntness: float
    roundness: float
    notch: float = 0.0
    layer_ratio: float = 0.8


SPECIES = {
    "cosmos": Species((7, 8), 1, 0.19, base=0.25, bluntness=1.5, roundness=0.5, notch=0.06),
    "daisy": Species((8, 9), 2, 0.27, base=0.15, bluntness=1.5, roundness=0.7, layer_ratio=0.94),
    "sunflower": Species((8, 9), 3, 0.38, base=0.3, bluntness=1.0, roundness=0.9, layer_ratio=0.86),
    "primrose": Species((5,), 1, 0.11, base=0.2, bluntness=1.9, roundness=0.45, notch=0.16),
    "periwinkle": Species((5,), 1, 0.1, base=0.15, bluntness=1.8, roundness=0.55),
    "dahlia": Species((8, 9), 3, 0.16, base=0.45, bluntness=1.1, roundness=0.8, layer_ratio=0.76),
    "clematis": Species((6, 7, 8), 1, 0.17, base=0.2, bluntness=1.0, roundness=0.75),
    "poppy": Species((4, 5), 2, 0.16, base=0.45, bluntness=1.9, roundness=0.5, layer_ratio=0.82),
    "lotus": Species((7, 8), 3, 0.17, base=0.3, bluntness=0.95, roundness=0.8, layer_ratio=0.78),
    "anemone": Species((6, 7, 8), 2, 0.2, base=0.3, bluntness=1.5, roundness=0.6, layer_ratio=0.88),
}
# Five colours in each row: the petals' rim, base and throat, then the disc's dark and light.
_COLOURS = """
cosmos     f7b3d2 dc6aa0 a8326f a8641a ffd65c
cosmos     fff6f3 f6d5e0 e58fb2 b0701c ffdc66
cosmos     e05a8e b02e68 6d123c 9a5a18 ffc94e
daisy      fffdf8 f1eee6 dfe3c4 b9690f ffd23d
daisy      ffe9ef f7c3d3 e58aa8 b9690f ffd23d
daisy      fff3b8 ffe07a f2b63c 8a4a12 e8962c
sunflower  ffd23f f6a21c c8680e 2e1a0e 8a5a2a
sunflower  ffc02e e87a16 a83f0c 2a1510 7a4422
sunflower  ffe680 f7be3a d98a1a 3a2412 94683a
primrose   fff2a0 ffe25c f39a1e b8860b fff0a0
primrose   f58fb4 e0508c ffd84d c08a1a fff2a8
primrose   8f8be8 5a55cc fff6d0 c9a227 fff1a0
periwinkle a9b4f5 7480e0 f6f4ff 8a7a2a ffe680
periwinkle c9b0f2 9a78dc fbf3ff 8a7a2a ffe680
periwinkle 9fd0f5 5fa0e0 fdfbe8 a87a1a ffd85a
dahlia     ffb199 f0685a b8303e 8a3a1a ffc46a
dahlia     f59ad0 cf4aa4 86206e 7a2a4a ffb98a
dahlia     ffd29a f79a52 cf5a2a 8a4a1a ffe08a
dahlia     d8aef2 9c5fd0 5a2a90 5a2a5a f2b8c8
clematis   8f6fe0 5a3ab8 d8a0e8 5a3a6a fff0c8
clematis   b57ae8 7a3cc0 f0b8e8 6a3a6a fff0c8
clematis   fdf6ff dccdf2 b59ad8 5a2a5a e8a8c8
poppy      ff6a45 e0321f 3a0d18 1a1420 6a7a4a
poppy      ff9a4a f26a1e b83a0c 4a4a1a d8cf6a
poppy      ffc0b0 f58a80 8a2a3a 2a1a24 8a9a5a
lotus      f58fb8 fbd8e4 fff3dc b8862a ffe27a
lotus      f7e3f0 fff8f4 fff0c0 b8862a ffe27a
lotus      b9a0f0 e6dcfb fff6d8 b8862a ffe27a
anemone    9a86e6 6046bc f0eaff 14122a 4a4678
anemone    e8506a c01e48 fff0ee 1c1022 524060
anemone    fffaff e4dcf2 b8a8dc 14122a 46426e
"""
_ROWS = [row.split(maxsplit=1) for row in _COLOURS.strip().splitlines()]
PALETTES = {name: [colours for key, colours in _ROWS if key == name] for name in SPECIES}
