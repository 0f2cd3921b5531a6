"""Samples as the images of a U-Net: reshaped and padded at its entry, cut to size at its exit.

An array [T, C] is an image [T, 1, C], and [D] is an image [1, 1, D]. Arrays get a channel of ones,
and are then padded with zeros to a size that patches and levels divide: the ones also mark what is
not padding. Along an axis of size 1 there are neither patches nor levels.
"""

import math
from typing import Any

from keras import layers

from ..config import NetworkConfig
from .blocks import Blocks
from .layers import DepthToSpace, OnesChannel, SpaceToDepth


class Frame:
    """The image that holds a sample of a network.

    `wide` says whether height and width have neighbours; those of pictures always count as such.
    """

    def __init__(self, config: NetworkConfig) -> None:
        *size, self._channels = self._shape = config.shape
        self._size = (*size, 1, 1)[:2]
        self._pictures = config.array_shape is None
        self.wide = (self._pictures or self._size[0] > 1, self._pictures or self._size[1] > 1)
        self._patches = [config.patch_size if wide else 1 for wide in self.wide]
        divisors = [config.divisor if wide else 1 for wide in self.wide]
        self._padding = [-each % by for each, by in zip(self._size, divisors, strict=True)]

    @property
    def channels(self) -> int:
        """How many channels the network puts out: those of all pixels of a patch."""
        return self._channels * math.prod(self._patches)

    def enter(self, blocks: Blocks, x: Any) -> Any:
        """Samples [N, …, C] as images."""
        if self._pictures:
            return x
        if len(self._shape) < 3:
            x = blocks.layer(layers.Reshape, (*self._size, self._channels))(x)
        x = blocks.layer(OnesChannel)(x)
        if any(self._padding):
            x = blocks.layer(layers.ZeroPadding2D, self._ends)(x)
        return x

    def divide(self, blocks: Blocks, x: Any) -> Any:
        """Images whose pixels are the patches of others."""
        pixels = math.prod(self._patches)
        if pixels == 1:
            return x
        if all(self.wide):
            return blocks.layer(SpaceToDepth, self._patches[0])(x)
        size = (each // patch for each, patch in zip(x.shape[1:3], self._patches, strict=True))
        return blocks.layer(layers.Reshape, (*size, x.shape[-1] * pixels))(x)

    def leave(self, blocks: Blocks, x: Any) -> Any:
        """Samples [N, …, C] of images of patches."""
        if math.prod(self._patches) > 1:
            x = self._joined(blocks, x)
        if any(self._padding):
            x = blocks.exact(layers.Cropping2D, self._ends)(x)
        if len(self._shape) < 3:
            x = blocks.exact(layers.Reshape, self._shape)(x)
        return x

    def _joined(self, blocks: Blocks, x: Any) -> Any:
        """The inverse of `divide`."""
        if all(self.wide):
            return blocks.exact(DepthToSpace, self._patches[0])(x)
        size = map(sum, zip(self._size, self._padding, strict=True))
        return blocks.exact(layers.Reshape, (*size, self._channels))(x)

    @property
    def _ends(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """What is added at the end of height and width."""
        down, across = self._padding
        return (0, down), (0, across)
