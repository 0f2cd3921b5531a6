"""Classifier-free guidance (arXiv 2207.12598) of a network with classes or other conditions.

A network may also take the guidance itself, one that was distilled so (arXiv 2210.03142).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

Network = Callable[[Sequence[tf.Tensor]], tf.Tensor]


@dataclass(frozen=True)
class Conditioning:
    """Labels int64 [N], −1 for none, the guidance float32 [] or [N], and named conditions [N, …].

    `labels` are None for a model without classes, and `guidance` is None where nothing can be left
    out. A condition's entry in `nulls` is what the network sees in its place without guidance, of
    one image, or None for one that stays.
    """

    labels: tf.Tensor | None = None
    guidance: tf.Tensor | None = None
    conditions: Sequence[tf.Tensor] = ()
    nulls: Sequence[np.ndarray | None] = ()

    @property
    def rows(self) -> list[tf.Tensor]:
        """What the network takes beside images and noise level: the labels, then the conditions."""
        return [*([] if self.labels is None else [self.labels]), *self.conditions]

    def told_rows(self, images: tf.Tensor) -> list[tf.Tensor]:
        """The same for a network that takes the guidance too, after the labels, of each image.

        `images` is their number, int32 [1].
        """
        labels = [] if self.labels is None else [self.labels]
        return [*labels, tf.broadcast_to(self.guidance, images), *self.conditions]

    @property
    def null_rows(self) -> list[tf.Tensor]:
        """The same with all left out that can be."""
        labels = [] if self.labels is None else [-tf.ones_like(self.labels)]
        pairs = zip(self.conditions, self.nulls, strict=True)
        return [*labels, *(x if null is None else _spread(null, x) for x, null in pairs)]


def _spread(null: np.ndarray, like: tf.Tensor) -> tf.Tensor:
    """A null value for each image."""
    return tf.broadcast_to(tf.constant(null, like.dtype), tf.shape(like))


def guided_output(
    network: Network,
    noisy: tf.Tensor,
    condition: tf.Tensor,
    conditioning: Conditioning,
    *,
    learned_variance: bool = False,
    takes_guidance: bool = False,
) -> tf.Tensor:
    """The network's output under classifier-free guidance (arXiv 2207.12598, equation 6).

    output(nothing) + guidance·(output(shown) − output(nothing)), where labels and conditions are
    left out of the first. Guidance 1 is output(shown) itself, so the network sees the batch once;
    otherwise, and where each image has its own guidance, it sees it twice, in one call. A
    `learned_variance`, in as many channels after the
    others, is not guided: it is taken from output(shown), as in the code of GLIDE (arXiv
    2112.10741) and DiT (arXiv 2212.09748). Without a guidance, this is output(shown). A network
    that `takes_guidance` sees the batch once, whatever the guidance.
    """
    if takes_guidance:
        return network([noisy, condition, *conditioning.told_rows(tf.shape(noisy)[:1])])
    if conditioning.guidance is None:
        return network([noisy, condition, *conditioning.rows])
    images, guidance = tf.shape(noisy)[0], conditioning.guidance
    seen = 2 * images
    if guidance.shape.rank == 0:
        seen = images * (2 - tf.cast(tf.equal(guidance, 1.0), tf.int32))

    def copied(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        # Cut to size rather than tiled, so that no input can make the graph's tensors grow.
        return tf.concat([first, second], axis=0)[:seen]

    rows = [copied(*both) for both in zip(conditioning.rows, conditioning.null_rows, strict=True)]
    output = network([copied(noisy, noisy), copied(condition, condition), *rows])
    # With one copy the two are equal, and their difference is 0.
    shown, nothing = output[:images], output[-images:]
    shape = noisy.shape
    if guidance.shape.rank:
        guidance = guidance[(slice(None), *[None] * (shape.rank - 1))]
    if learned_variance:
        channels: Any = shape[-1]
        guidance = tf.where(tf.range(2 * channels) < channels, guidance, 1.0)
        shape = [*shape[:-1], 2 * channels]
    guided = nothing + guidance * (shown - nothing)
    guided.set_shape(shape)
    return guided
