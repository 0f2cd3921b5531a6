"""Graphs of small networks by the exporter's inner door: no files and no certificate.

As a program it prints digests of all graphs of `repeating_network`, for processes to compare.
"""

import hashlib
from typing import Any

import keras
from keras import layers
from small_models import with_random_weights

from diffkiln.export.baking.signatures import Signatures
from diffkiln.export.graphs.assemble import OnnxExporter
from diffkiln.export.graphs.conversion import convert
from diffkiln.export.graphs.rewriting.half_precision import half_precision
from diffkiln.export.network.fitted import fitted
from diffkiln.export.options import GRAPHS, MORE_GRAPHS
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import CosineSchedule


def exporter_of(
    network: keras.Model, *, eta: float = 0.0, num_classes: int | None = None, half: bool = False
) -> OnnxExporter:
    """The graphs of a network that predicts the velocity."""
    own = fitted(network, classes=num_classes or 0)
    pixels = (0.5,) * own.shape[-1], (0.25,) * own.shape[-1]
    denoiser = Denoiser(own, CosineSchedule(), "velocity", *pixels, num_classes=num_classes)
    signatures = Signatures(Sampling(denoiser, "ddim", eta), own.shape, "uint8")
    graph = convert(signatures.network)
    return OnnxExporter(signatures, half_precision(graph) if half else graph)


def repeating_network() -> keras.Model:
    """Two blocks with the same activation of the embedding, and two normalisations of one image."""
    noisy, time = keras.Input((8, 8, 3), name="noisy"), keras.Input((), name="time")
    embedding = layers.Dense(4, name="embed")(layers.Reshape((1, 1, 1), name="pixel")(time))
    x: Any = layers.Conv2D(4, 3, padding="same", name="first")(noisy)
    for block in ("b", "a"):
        scale = layers.Activation("swish", name=f"swish_{block}")(embedding)
        shift = layers.Dense(4, name=f"shift_{block}")(scale)
        x = layers.Add(name=f"sum_{block}")([x, shift])
    pair = [layers.LayerNormalization(name=f"norm_{name}")(x) for name in ("d", "c")]
    x = layers.Multiply(name="product")(pair)
    return with_random_weights(
        keras.Model([noisy, time], layers.Conv2D(3, 1, name="last")(x), name="net")
    )


def digests() -> str:
    """A line for each graph."""
    exporter = exporter_of(repeating_network())
    graphs = {name: exporter.graph(name) for name in (*GRAPHS, *MORE_GRAPHS)}
    return "".join(
        f"{name} {hashlib.sha256(graph.SerializeToString()).hexdigest()}\n"
        for name, graph in graphs.items()
    )


if __name__ == "__main__":
    print(digests(), end="")
