"""The denoising network: a U-Net of residual blocks, conditioned on the time.

DDPM's network (arXiv 2006.11239, appendix B), adapted to run fast on a CPU: channel-wise RMS
normalisation instead of group normalisation, no biases inside the blocks (both as in EDM2, arXiv
2312.02696), and optional patching (space-to-depth), which quarters the work of the widest level.
The lowest level may have self-attention after each of its blocks. The time embedding is a 1×1 image
that passes through 1×1 convolutions, so that its layout is the same as everywhere else. Pictures
that the network is given are joined to the noisy image (SR3, arXiv 2104.07636), small ones after
they are enlarged. A `residual` network adds its output to the enlarged picture (SRDiff, arXiv
2104.14951).
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from ..config import NetworkConfig
from ..errors import InputError
from .layers import (
    DepthToSpace,
    Dropout,
    Extrapolation,
    KnownPart,
    LabelEmbedding,
    LinearEstimate,
    NearestUpsampling,
    PixelNorm,
    SelfAttention,
    SpaceToDepth,
    TimeEmbedding,
)

# A graph of a bundle has at most 2^30 bytes, with four for each parameter and some for itself.
MOST_PARAMETERS = 260_000_000


def build_unet(
    config: NetworkConfig, *, dtype: str = "float32", dropout: float = 0.0
) -> keras.Model:
    """A network of (noisy float32 [N, S, S, C], time float32 [N]) → float32 [N, S, S, C].

    With classes, labels int64 [N] come third: 0 … num_classes − 1, or −1 for none. With a range of
    guidance, that comes next, float32 [N] (arXiv 2210.03142): it acts on what a label adds to the
    embedding. Then come the `conditions` of a task, float32. `dtype` is a Keras dtype policy such
    as `mixed_float16`; the weights of one policy load into another.

    With `dropout`, a rate in (0, 1), the network is for training, and seeds int64 [N, 2] come last
    (see `Dropout`). Its weights are those of the network without.
    """
    inputs = _inputs(config, dropout=dropout > 0)
    blocks, size = _Blocks(dtype, dropout, inputs.get("dropout_seeds")), config.embedding_size
    given = {each.name: inputs[each.name] for each in config.conditions}
    code, added = blocks.encode(inputs["time"], size), []
    if "augmentation" in given:
        added.append(blocks.encode(given["augmentation"], size, "augmentation"))
    if config.num_classes is None:
        embedding = blocks.embed(code, *added)
    else:
        table = LabelEmbedding(config.num_classes, 4 * size, dtype=dtype, name="label_embedding")
        embedding = _labelled(blocks, table, inputs, config.guidance_range, code, added)
    pictures = blocks.pictures(given, config.factor)
    x = inputs["noisy"]
    x = layers.Concatenate(dtype=dtype)([x, *pictures]) if pictures else x
    x = SpaceToDepth(config.patch_size, dtype=dtype)(x) if config.patch_size > 1 else x
    x, skips = _down(blocks, x, embedding, config)
    x = blocks.residual(x, embedding, config.widths[-1])
    x = blocks.attend(x, config.attention_heads, "middle")
    x = blocks.silu(blocks.normalise(_up(blocks, x, skips, embedding, config)))
    channels = config.channels * config.patch_size**2
    output = blocks.conv(x, channels, kernel="zeros", bias="zeros", dtype="float32")
    if config.patch_size > 1:
        output = DepthToSpace(config.patch_size, dtype="float32")(output)
    if config.residual:
        enlarged = LinearEstimate(dtype="float32")(*pictures, given["augmentation"])
        output = layers.Add(dtype="float32")([output, enlarged])
    network = keras.Model(list(inputs.values()), output, name="unet")
    if (count := network.count_params()) > MOST_PARAMETERS:
        expected = f"expected at most {MOST_PARAMETERS:,}, which an export can hold"
        raise InputError(f"widths={config.widths}: {count:,} parameters, {expected}; lower widths")
    return network


def _inputs(config: NetworkConfig, *, dropout: bool) -> dict[str, Any]:
    """The inputs by name, in their order."""
    shape = (config.image_size, config.image_size, config.channels)
    inputs = {"noisy": keras.Input(shape, name="noisy"), "time": keras.Input((), name="time")}
    if config.num_classes is not None:
        inputs["labels"] = keras.Input((), name="labels", dtype="int64")
    if config.guidance_range is not None:
        inputs["guidance"] = keras.Input((), name="guidance")
    inputs |= {each.name: keras.Input(each.shape, name=each.name) for each in config.conditions}
    if dropout:
        inputs["dropout_seeds"] = keras.Input((2,), name="dropout_seeds", dtype="int64")
    return inputs


def _labelled(
    blocks: "_Blocks",
    table: LabelEmbedding,
    inputs: Mapping[str, Any],
    within: tuple[float, float] | None,
    code: Any,
    added: list,
) -> Any:
    """The embedding of time, labels and, if it is within some range, guidance."""
    labels = inputs["labels"]
    embedding = blocks.embed(code, table(labels), *added)
    if within is None:
        return embedding
    nothing = blocks.embed(code, table(keras.ops.full_like(labels, -1)), *added)
    strength = blocks.guide(inputs["guidance"], code, within)
    return Extrapolation(dtype="float32")(embedding, nothing, strength, inputs["guidance"])


def _down(blocks: "_Blocks", x: Any, embedding: Any, config: NetworkConfig) -> tuple[Any, list]:
    """The downward half: its output, and the skip connections for the upward half."""
    x = blocks.conv(x, config.widths[0], bias="zeros")
    skips = [x]
    for level, width in enumerate(config.widths):
        if level:
            x = layers.AveragePooling2D(2, dtype=blocks.dtype)(x)
        for block in range(config.blocks):
            x = blocks.residual(x, embedding, width)
            x = blocks.attend(x, config.heads(level), f"down_{block}")
            skips.append(x)
    return x, skips


def _up(blocks: "_Blocks", x: Any, skips: list, embedding: Any, config: NetworkConfig) -> Any:
    """The upward half, which consumes `skips` from the end."""
    for level, width in reversed(list(enumerate(config.widths))):
        for block in range(config.blocks):
            x = blocks.residual(blocks.join(x, skips.pop()), embedding, width)
            x = blocks.attend(x, config.heads(level), f"up_{block}")
        if level:
            x = NearestUpsampling(dtype=blocks.dtype)(x)
    return blocks.join(x, skips.pop())


@dataclass(frozen=True)
class _Blocks:
    """The pieces that the network repeats, under one dtype policy.

    Attention, classes, conditions and dropout do not change the names of the other layers with
    weights.
    """

    dtype: str
    dropout: float = 0.0
    seeds: Any = None
    numbers: Iterator[int] = field(default_factory=itertools.count)
    dropouts: Iterator[int] = field(default_factory=itertools.count)

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
        return layers.Conv2D(
            width,
            size,
            padding="same",
            use_bias=bias is not None,
            kernel_initializer=kernel,
            bias_initializer=bias or "zeros",
            dtype=dtype or self.dtype,
            name=name or f"conv_{next(self.numbers)}",
        )(x)

    def join(self, x: Any, skip: Any) -> Any:
        return layers.Concatenate(dtype=self.dtype)([x, skip])

    def silu(self, x: Any) -> Any:
        return layers.Activation("silu", dtype=self.dtype)(x)

    def normalise(self, x: Any) -> Any:
        return PixelNorm(dtype=self.dtype)(x)

    def pictures(self, given: Mapping[str, Any], factor: int | None) -> list[Any]:
        """The pictures that are `given` with the noisy image, at its size."""
        pictures = [picture for picture in given.values() if len(picture.shape) == 4]
        if factor:
            enlarge = layers.UpSampling2D(factor, interpolation="bilinear", dtype="float32")
            pictures = [enlarge(picture) for picture in pictures]
        if "paint_mask" in given:
            pictures = [KnownPart(dtype="float32")(*pictures)]
        return pictures

    def embed(self, code: Any, *added: Any) -> Any:
        return self.silu(layers.Add(dtype=self.dtype)([code, *added]) if added else code)

    def encode(self, level: Any, size: int, name: str | None = None) -> Any:
        """A number [N] in [0, 1], such as the time, as 4·size channels."""
        names = [name and f"{name}_{place}" for place in ("in", "out")]
        x = TimeEmbedding(size, dtype="float32")(level)
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
        place = layers.Rescaling(1 / width, -within[0] / width, dtype="float32")(guidance)
        x = TimeEmbedding(channels // 4, least=0.125, most=2.0, dtype="float32")(place)
        x = self.conv(x, channels, size=1, bias="zeros", name="guidance_in")
        x = self.silu(layers.Add(dtype=self.dtype)([x, code]))
        first = keras.initializers.Constant(0.4)
        return self.conv(x, channels, size=1, kernel="zeros", bias=first, name="guidance_out")

    def residual(self, x: Any, embedding: Any, width: int) -> Any:
        """x + conv(silu(scale(t)·norm(conv(silu(norm(x)))) + shift(t))), a 1×1 for a new width.

        Dropout, if there is any, is before the second convolution (as in arXiv 2006.11239).
        Scale starts at 1, shift and the last convolution at 0: the block begins as the identity.
        """
        skip = x if x.shape[-1] == width else self.conv(x, width, size=1)
        scale = self.conv(embedding, width, size=1, kernel="zeros", bias="ones")
        shift = self.conv(embedding, width, size=1, kernel="zeros", bias="zeros")
        h = self.normalise(self.conv(self.silu(self.normalise(x)), width))
        h = layers.Multiply(dtype=self.dtype)([h, scale])
        h = self.drop(self.silu(layers.Add(dtype=self.dtype)([h, shift])))
        return layers.Add(dtype=self.dtype)([skip, self.conv(h, width, kernel="zeros")])

    def drop(self, x: Any) -> Any:
        if self.seeds is None:
            return x
        return Dropout(self.dropout, next(self.dropouts), dtype=self.dtype)(x, self.seeds)

    def attend(self, x: Any, heads: int, place: str) -> Any:
        """x + conv(attention(conv(norm(x)))) with 1×1s, x at first; no heads, no attention."""
        if not heads:
            return x
        width, name = x.shape[-1], f"{place}_attention"
        h = self.conv(self.normalise(x), 3 * width, size=1, name=f"{name}_in")
        h = SelfAttention(heads, dtype=self.dtype)(h)
        h = self.conv(h, width, size=1, kernel="zeros", name=f"{name}_out")
        return layers.Add(dtype=self.dtype)([x, h])
