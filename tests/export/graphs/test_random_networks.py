"""Whatever a network is made of, TensorFlow, ONNX and the float64 reference draw the same."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from keras import layers
from small_models import with_random_weights

from diffkiln.export.baking.signatures import Signatures
from diffkiln.export.graphs.assemble import OnnxExporter
from diffkiln.export.graphs.conversion import convert
from diffkiln.export.manifest import essentials
from diffkiln.export.network.fitted import fitted
from diffkiln.export.options import Baking
from diffkiln.export.proof.reference import reference_of
from diffkiln.export.proof.reference_noise import reference_noise
from diffkiln.trainer.config import CONDITIONINGS, PREDICTIONS, TIME_GRIDS
from diffkiln.trainer.maths.diffusion import Denoiser
from diffkiln.trainer.maths.sampling import Sampling
from diffkiln.trainer.maths.schedules import CosineSchedule, ddpm_linear

pytestmark = pytest.mark.slow

Draw = Callable[[st.SearchStrategy], Any]

NORMS: dict[str, Callable[[], Any]] = {
    "none": lambda: layers.Identity(),
    "batch": layers.BatchNormalization,
    "group": lambda: layers.GroupNormalization(2),
    "instance": lambda: layers.GroupNormalization(-1),
    "layer": layers.LayerNormalization,
}
BLOCKS: dict[str, Callable[[int], Any]] = {
    "convolution": lambda width: layers.Conv2D(width, 3, padding="same"),
    "depthwise": lambda width: layers.SeparableConv2D(width, 3, padding="same"),
    "dilated": lambda width: layers.Conv2D(width, 3, padding="same", dilation_rate=2),
    "dense": lambda width: layers.Dense(width),
}
DOWN: dict[str, Callable[[int], Any]] = {
    "strided": lambda width: layers.Conv2D(width, 3, strides=2, padding="same"),
    "average": lambda _: layers.AveragePooling2D(2),
    "largest": lambda _: layers.MaxPooling2D(2),
}
UP: dict[str, Callable[[int], Any]] = {
    "nearest": lambda _: layers.UpSampling2D(),
    "bilinear": lambda _: layers.UpSampling2D(interpolation="bilinear"),
    "transposed": lambda width: layers.Conv2DTranspose(width, 4, strides=2, padding="same"),
}
ACTIVATIONS = ("relu", "swish", "gelu", "tanh", "elu", "softplus", "leaky_relu", "sigmoid")


def drawn_network(draw: Draw) -> keras.Model:
    """A U-Net of one or two levels, perhaps with attention at its lowest."""
    height, width = (4 * draw(st.integers(1, 3)) for _ in range(2))
    channels = draw(st.integers(1, 4))
    noisy = keras.Input((height, width, channels))
    condition = keras.Input(draw(st.sampled_from([(), (1,), (1, 1, 1)])))
    features = 2 * draw(st.integers(2, 8))
    embedding = layers.Dense(features, activation="tanh")(layers.Reshape((1, 1, 1))(condition))

    def block(x: Any) -> Any:
        h = NORMS[draw(st.sampled_from(sorted(NORMS)))]()(x)
        h = layers.Activation(draw(st.sampled_from(ACTIVATIONS)))(h)
        h = BLOCKS[draw(st.sampled_from(sorted(BLOCKS)))](features)(h)
        return x + h * embedding if draw(st.booleans()) else x + h + embedding

    x = block(layers.Conv2D(features, 3, padding="same")(noisy))
    if draw(st.booleans()):
        lower = DOWN[draw(st.sampled_from(sorted(DOWN)))](features)(x)
        if draw(st.booleans()):
            tokens = layers.Reshape((height * width // 4, features))(lower)
            tokens = layers.MultiHeadAttention(2, 4)(tokens, tokens)
            lower = lower + layers.Reshape((height // 2, width // 2, features))(tokens)
        upper = UP[draw(st.sampled_from(sorted(UP)))](features)(block(lower))
        x = block(layers.Dense(features)(layers.Concatenate()([upper, x])))
    network = keras.Model([noisy, condition], layers.Conv2D(channels, 3, padding="same")(x))
    return with_random_weights(network, draw(st.integers(0, 99)))


def drawn_sampling(draw: Draw, network: keras.Model) -> Sampling:
    """The network under any of the settings of `export_bundle`."""
    channels = fitted(network).shape[-1]
    conditioning = draw(st.sampled_from(CONDITIONINGS))
    discrete = conditioning == "timestep" or draw(st.booleans())
    solver, eta = draw(st.sampled_from([("ddim", 0.0), ("ddim", 0.7), ("dpmpp_2m", 0.0)]))
    denoiser = Denoiser(
        fitted(network),
        ddpm_linear() if discrete else CosineSchedule(),
        draw(st.sampled_from([prediction for prediction in PREDICTIONS if prediction != "noise"])),
        (0.5,) * channels,
        (0.25,) * channels,
        clip=draw(st.booleans()),
        conditioning=conditioning,
    )
    return Sampling(denoiser, solver, eta, draw(st.sampled_from(TIME_GRIDS)))


# Each takes seconds, so the same few every time, and none smaller is searched for.
@settings(max_examples=8, derandomize=True, phases=[Phase.generate])
@given(st.data(), st.integers(1, 4), st.integers(1, 3))
def test_all_forms_agree(data: st.DataObject, steps: int, batch: int) -> None:
    network = drawn_network(data.draw)
    sampling = drawn_sampling(data.draw, network)
    signatures = Signatures(sampling, fitted(network).shape, "float32")
    exporter = OnnxExporter(signatures, convert(signatures.network))
    seeds = np.arange(batch)
    session = onnxruntime.InferenceSession(
        exporter.graph("sampler").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = session.run(None, {"seeds": seeds, "steps": np.array(steps)})[0]
    saved = signatures.sampler.function(tf.constant(seeds), tf.constant(steps, tf.int64))["images"]

    def predict(noisy: np.ndarray, condition: np.ndarray) -> np.ndarray:
        inputs = [tf.constant(noisy), tf.constant(condition)]
        return np.asarray(sampling.denoiser.network(inputs))

    baking = Baking(
        solver=sampling.solver,
        eta=sampling.eta,
        time_grid=sampling.time_grid,
        clip=sampling.denoiser.clip,
        image_dtype="float32",
    )
    description = essentials(signatures, baking, network.count_params())
    noise = reference_noise(seeds.tolist(), signatures.shape)
    expected = reference_of(description, predict).from_noise(noise, steps, seeds.tolist())
    # What a bundle in float is held to; predicted noise would magnify differences beyond it.
    np.testing.assert_allclose(np.asarray(images), np.asarray(saved), atol=1e-3)
    np.testing.assert_allclose(np.asarray(images), expected, atol=1e-3)
