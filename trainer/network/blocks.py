"""The pieces of the U-Net under one dtype policy: its layers, residual blocks and embeddings."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from .layers import (
    Dropout,
    KnownPart,
    NearestUpsampling,
    PixelNorm,
    SelfAttention,
    TimeEmbedding,
)


@dataclass(frozen=True)
class Blocks:
    """The pieces that the network repeats, under one dtype policy.

    Attention, classes, conditions and dropout do not change the names of the other layers with
    weights. No name depends on what else was built in this process, as Keras's own names do:
    TensorFlow adds in the order of names, and a run must go on to the same bits anywhere.
    """

    dtype: str
    dropout: float = 0.0
    seeds: Any = None
    # Whether there are neighbours along height and width: not along an array's axis of size 1.
    wide: tuple[bool, bool] = (True, True)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    dropouts: Iterator[int] = field(default_factory=itertools.count)
    alike: Counter[str] = field(default_factory=Counter)

    def layer(self, kind: Any, *settings: Any, dtype: str | None = None, **more: Any) -> Any:
        """A layer without weights, with the name that Keras would give it in a new process."""
        name = re.sub("(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()
        number = f"_{self.alike[name]}" if self.alike[name] else ""
        self.alike[name] += 1
        return kind(*settings, dtype=dtype or self.dtype, name=f"{name}{number}", **more)

    def exact(self, kind: Any, *settings: Any, **more: Any) -> Any:
        """A layer without weights that computes in float32 under any policy."""
        return self.layer(kind, *settings, dtype="float32", **more)

    def conv(
        self,
        x: Any,
        width: int,
        *,
        size: int = 3,
        kernel: str = "he_normal",
        bias: Any = None,
        dtype: str | None = None,
        name: str | None = None,
    ) -> Any:
        """A convolution to `width` channels, without bias unless it has an initialiser."""
        return layers.Conv2D(
            width,
            self.along(size),
            padding="same",
            use_bias=bias is not None,
            kernel_initializer=kernel,
            bias_initializer=bias or "zeros",
            dtype=dtype or self.dtype,
            name=name or f"conv_{next(self.numbers)}",
        )(x)

    def along(self, size: int) -> tuple[int, int]:
        """A size along height and width: 1 where there are no neighbours."""
        height, width = (size if wide else 1 for wide in self.wide)
        return height, width

    def pool(self, x: Any) -> Any:
        """Images of half the size: means over pairs of neighbours."""
        return self.layer(layers.AveragePooling2D, self.along(2))(x) if any(self.wide) else x

    def enlarge(self, x: Any) -> Any:
        """Images of twice the size, of pixels that are repeated."""
        return self.layer(NearestUpsampling, self.along(2))(x) if any(self.wide) else x

    def join(self, *parts: Any) -> Any:
        """The channels of all parts."""
        return self.layer(layers.Concatenate)(list(parts))

    def add(self, *parts: Any) -> Any:
        """The sum of all parts."""
        return self.layer(layers.Add)(list(parts))

    def silu(self, x: Any) -> Any:
        """x·sigmoid(x)."""
        return self.layer(layers.Activation, "silu")(x)

    def normalise(self, x: Any) -> Any:
        """A mean square of 1 over the channels of each pixel."""
        return self.layer(PixelNorm)(x)

    def pictures(self, given: Mapping[str, Any], factor: int | None) -> list[Any]:
        """The pictures that are `given` with the noisy image, at its size."""
        pictures = [picture for picture in given.values() if len(picture.shape) == 4]
        if factor:
            enlarge = self.exact(layers.UpSampling2D, factor, interpolation="bilinear")
            pictures = [enlarge(picture) for picture in pictures]
        if "paint_mask" in given:
            pictures = [self.exact(KnownPart)(*pictures)]
        return pictures

    def embed(self, code: Any, *added: Any) -> Any:
        """The embedding of the time's code and what is added to it."""
        return self.silu(self.add(code, *added) if added else code)

    def encode(self, level: Any, size: int, name: str | None = None) -> Any:
        """A number [N] in [0, 1], such as the time, as 4·size channels."""
        names = [name and f"{name}_{place}" for place in ("in", "out")]
        x = self.exact(TimeEmbedding, size)(level)
        x = self.silu(self.conv(x, 4 * size, size=1, bias="zeros", name=names[0]))
        return self.conv(x, 4 * size, size=1, bias="zeros", name=names[1])

    def guide(self, guidance: Any, code: Any, within: tuple[float, float]) -> Any:
        """How strongly guidance [N] acts on each channel, at the time of this `code`.

        0.4 at first, which came nearest to classifier-free guidance for the flowers' network before
        it was trained to take the guidance. Predictions change slowly with it, so the frequencies
        are low.
        """
        channels = code.shape[-1]
        width = max(within[1] - within[0], 1e-6)
        place = self.exact(layers.Rescaling, 1 / width, -within[0] / width)(guidance)
        x = self.exact(TimeEmbedding, channels // 4, least=0.125, most=2.0)(place)
        x = self.conv(x, channels, size=1, bias="zeros", name="guidance_in")
        x = self.silu(self.add(x, code))
        first = keras.initializers.Constant(0.4)
        return self.conv(x, channels, size=1, kernel="zeros", bias=first, name="guidance_out")

    def residual(self, x: Any, embedding: Any, width: int) -> Any:
        """x + conv(silu(scale(t)·norm(conv(silu(norm(x)))) + shift(t))), a 1×1 for a new width.

        Dropout, if there is any, is before the second convolution (as in arXiv 2006.11239).
        Scale starts at 1, shift and the last convolution at 0: the block begins as the identity.
        Without an embedding, a bias of the first convolution is all there is of scale and shift.
        """
        skip = x if x.shape[-1] == width else self.conv(x, width, size=1)
        if embedding is None:
            h = self.conv(self.silu(self.normalise(x)), width, bias="zeros")
            return self.add(skip, self.conv(self.silu(self.normalise(h)), width, kernel="zeros"))
        scale = self.conv(embedding, width, size=1, kernel="zeros", bias="ones")
        shift = self.conv(embedding, width, size=1, kernel="zeros", bias="zeros")
        h = self.normalise(self.conv(self.silu(self.normalise(x)), width))
        h = self.layer(layers.Multiply)([h, scale])
        h = self.drop(self.silu(self.add(h, shift)))
        return self.add(skip, self.conv(h, width, kernel="zeros"))

    def drop(self, x: Any) -> Any:
        """Dropout, if the network has any."""
        if self.seeds is None:
            return x
        return self.layer(Dropout, self.dropout, next(self.dropouts))(x, self.seeds)

    def attend(self, x: Any, heads: int, place: str) -> Any:
        """x + conv(attention(conv(norm(x)))) with 1×1s, x at first; no heads, no attention."""
        if not heads:
            return x
        width, name = x.shape[-1], f"{place}_attention"
        h = self.conv(self.normalise(x), 3 * width, size=1, name=f"{name}_in")
        h = self.layer(SelfAttention, heads)(h)
        h = self.conv(h, width, size=1, kernel="zeros", name=f"{name}_out")
        return self.add(x, h)
