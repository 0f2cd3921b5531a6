"""Classifier-free guidance (arXiv 2207.12598) of a network with classes or other conditions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

Network = Callable[[Sequence[tf.Tensor]], tf.Tensor]


@dataclass(frozen=True)
class Conditioning:
    """Labels int64 [N], −1 for none, the guidance float32 [], and named conditions [N, …].

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
) -> tf.Tensor:
    """The network's output under classifier-free guidance (arXiv 2207.12598, equation 6).

    output(nothing) + guidance·(output(shown) − output(nothing)), where labels and conditions are
    left out of the first. Guidance 1 is output(shown) itself, so the network sees the batch once;
    otherwise it sees it twice, in one call. A `learned_variance`, in as many channels after the
    others, is not guided: it is taken from output(shown), as in the code of GLIDE (arXiv
    2112.10741) and DiT (arXiv 2212.09748). Without a guidance, this is output(shown).
    """
    if conditioning.guidance is None:
        return network([noisy, condition, *conditioning.rows])
    images = tf.shape(noisy)[0]
    seen = images * (2 - tf.cast(tf.equal(conditioning.guidance, 1.0), tf.int32))

    def copied(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        # Cut to size rather than tiled, so that no input can make the graph's tensors grow.
        return tf.concat([first, second], axis=0)[:seen]

    rows = [copied(*both) for both in zip(conditioning.rows, conditioning.null_rows, strict=True)]
    output = network([copied(noisy, noisy), copied(condition, condition), *rows])
    # With one copy the two are equal, and their difference is 0.
    shown, nothing = output[:images], output[-images:]
    guidance, shape = conditioning.guidance, noisy.shape
    if learned_variance:
        channels: Any = shape[-1]
        guidance = tf.where(tf.range(2 * channels) < channels, guidance, 1.0)
        shape = [*shape[:-1], 2 * channels]
    guided = nothing + guidance * (shown - nothing)
    guided.set_shape(shape)
    return guided
