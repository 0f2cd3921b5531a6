"""The denoising network: a U-Net of residual blocks, conditioned on the time.

DDPM's network (arXiv 2006.11239, appendix B), adapted to run fast on a CPU: channel-wise RMS
normalisation instead of group normalisation, no biases inside the blocks (both as in EDM2, arXiv
2312.02696), and optional patching (space-to-depth), which quarters the work of the widest level.
The lowest level may have self-attention after each of its blocks. The time embedding is a 1×1 image
that passes through 1×1 convolutions, so that its layout is the same as everywhere else. Pictures
that the network is given are joined to the noisy image (SR3, arXiv 2104.07636), small ones after
they are enlarged. A `residual` network adds its output to the enlarged picture (SRDiff, arXiv
2104.14951). Arrays that are no pictures pass through the same network (see `arrays`).
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from ..config import NetworkConfig
from ..errors import InputError
from .arrays import Frame
from .blocks import Blocks
from .layers import Extrapolation, LabelEmbedding, LinearEstimate

# A graph of a bundle has at most 2^30 bytes, with four for each parameter and some for itself.
MOST_PARAMETERS = 260_000_000


def build_unet(
    config: NetworkConfig, *, dtype: str = "float32", dropout: float = 0.0
) -> keras.Model:
    """A network of (noisy float32 [N, S, S, C], time float32 [N]) → float32 [N, S, S, C].

    With an `array_shape`, `noisy` and the output are float32 [N, *array_shape] instead.
    With classes, labels int64 [N] come third: 0 … num_classes − 1, or −1 for none. With a range of
    guidance, that comes next, float32 [N] (arXiv 2210.03142): it acts on what a label adds to the
    embedding. Then come the `conditions` of a task, float32. `dtype` is a Keras dtype policy such
    as `mixed_float16`; the weights of one policy load into another.

    With `dropout`, a rate in (0, 1), the network is for training, and seeds int64 [N, 2] come last
    (see `Dropout`). Its weights are those of the network without.
    """
    inputs, frame, size = _inputs(config, dropout=dropout > 0), Frame(config), config.embedding_size
    blocks = Blocks(dtype, dropout, inputs.get("dropout_seeds"), frame.wide)
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
    x = frame.enter(blocks, inputs["noisy"])
    x = blocks.join(x, *pictures) if pictures else x
    x = frame.divide(blocks, x)
    x, skips = _down(blocks, x, embedding, config)
    x = blocks.residual(x, embedding, config.widths[-1])
    x = blocks.attend(x, config.attention_heads, "middle")
    x = blocks.silu(blocks.normalise(_up(blocks, x, skips, embedding, config)))
    output = blocks.conv(x, frame.channels, kernel="zeros", bias="zeros", dtype="float32")
    output = frame.leave(blocks, output)
    if config.residual:
        enlarged = blocks.exact(LinearEstimate)(*pictures, given["augmentation"])
        output = blocks.exact(layers.Add)([output, enlarged])
    network = keras.Model(list(inputs.values()), output, name="unet")
    if (count := network.count_params()) > MOST_PARAMETERS:
        expected = f"expected at most {MOST_PARAMETERS:,}, which an export can hold"
        raise InputError(f"widths={config.widths}: {count:,} parameters, {expected}; lower widths")
    return network


def _inputs(config: NetworkConfig, *, dropout: bool) -> dict[str, Any]:
    """The inputs by name, in their order."""
    noisy = keras.Input(config.shape, name="noisy")
    inputs = {"noisy": noisy, "time": keras.Input((), name="time")}
    if config.num_classes is not None:
        inputs["labels"] = keras.Input((), name="labels", dtype="int64")
    if config.guidance_range is not None:
        inputs["guidance"] = keras.Input((), name="guidance")
    inputs |= {each.name: keras.Input(each.shape, name=each.name) for each in config.conditions}
    if dropout:
        inputs["dropout_seeds"] = keras.Input((2,), name="dropout_seeds", dtype="int64")
    return inputs


def _labelled(
    blocks: Blocks,
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
    return blocks.exact(Extrapolation)(embedding, nothing, strength, inputs["guidance"])


def _down(blocks: Blocks, x: Any, embedding: Any, config: NetworkConfig) -> tuple[Any, list]:
    """The downward half: its output, and the skip connections for the upward half."""
    x = blocks.conv(x, config.widths[0], bias="zeros")
    skips = [x]
    for level, width in enumerate(config.widths):
        if level:
            x = blocks.pool(x)
        for block in range(config.blocks):
            x = blocks.residual(x, embedding, width)
            x = blocks.attend(x, config.heads(level), f"down_{block}")
            skips.append(x)
    return x, skips


def _up(blocks: Blocks, x: Any, skips: list, embedding: Any, config: NetworkConfig) -> Any:
    """The upward half, which consumes `skips` from the end."""
    for level, width in reversed(list(enumerate(config.widths))):
        for block in range(config.blocks):
            x = blocks.residual(blocks.join(x, skips.pop()), embedding, width)
            x = blocks.attend(x, config.heads(level), f"up_{block}")
        if level:
            x = blocks.enlarge(x)
    return blocks.join(x, skips.pop())
