"""Classifier-free guidance (arXiv 2207.12598) of a class-conditional network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

Network = Callable[[Sequence[tf.Tensor]], tf.Tensor]


@dataclass(frozen=True)
class Conditioning:
    """Labels int64 [N], −1 for none, and the guidance float32 []."""

    labels: tf.Tensor
    guidance: tf.Tensor


def guided_output(
    network: Network,
    noisy: tf.Tensor,
    condition: tf.Tensor,
    conditioning: Conditioning,
    *,
    learned_variance: bool = False,
) -> tf.Tensor:
    """The network's output under classifier-free guidance (arXiv 2207.12598, equation 6).

    output(no label) + guidance·(output(label) − output(no label)). Guidance 1 is the labelled
    output itself, so the network sees the batch once; otherwise it sees it twice, in one call. A
    `learned_variance`, in as many channels after the others, is not guided: it is taken from
    output(label), as in the code of GLIDE (arXiv 2112.10741) and DiT (arXiv 2212.09748).
    """
    images = tf.shape(noisy)[0]
    seen = images * (2 - tf.cast(tf.equal(conditioning.guidance, 1.0), tf.int32))

    def copied(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        # Cut to size rather than tiled, so that no input can make the graph's tensors grow.
        return tf.concat([first, second], axis=0)[:seen]

    labels = copied(conditioning.labels, -tf.ones_like(conditioning.labels))
    output = network([copied(noisy, noisy), copied(condition, condition), labels])
    # With one copy the two are equal, and their difference is 0.
    labelled, unlabelled = output[:images], output[-images:]
    guidance, shape = conditioning.guidance, noisy.shape
    if learned_variance:
        channels: Any = shape[-1]
        guidance = tf.where(tf.range(2 * channels) < channels, guidance, 1.0)
        shape = [*shape[:-1], 2 * channels]
    guided = unlabelled + guidance * (labelled - unlabelled)
    guided.set_shape(shape)
    return guided
