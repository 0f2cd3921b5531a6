"""A network whose every weight matters, and its bundles and graphs."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from keras import layers

from diffkiln.export import export_bundle
from diffkiln.export.graphs.assemble import OnnxExporter
from diffkiln.export.options import settings_as_objects
from diffkiln.export.preparing import baked_signatures, graph_exporter
from diffkiln.trainer.config import NetworkConfig
from diffkiln.trainer.maths.tables import Tables
from diffkiln.trainer.network.unet import build_unet

PIXELS: dict[str, Any] = {"pixel_mean": (0.45, 0.4, 0.3), "pixel_std": (0.3, 0.25, 0.28)}


def with_random_weights(network: keras.Model, seed: int = 0) -> keras.Model:
    """The network with random weights, none of them zero."""
    for index, variable in enumerate(network.trainable_variables):
        variable.assign(0.1 * tf.random.stateless_normal(variable.shape, (seed, index)))
    return network


def small_network() -> keras.Model:
    """A U-Net for 8×8 images."""
    shape = NetworkConfig(image_size=8, widths=(16, 32), blocks=1, patch_size=2)
    return with_random_weights(build_unet(shape))


def conditioned_network(
    shape: tuple[int, int, int] = (4, 6, 3), condition: tuple[int, ...] = (), dtype: str = "float32"
) -> keras.Model:
    """Two convolutions that take the condition."""
    noisy, level = keras.Input(shape), keras.Input(condition, dtype=dtype)
    embedding = layers.Reshape((1, 1, -1))(layers.Reshape((1,))(level))
    if dtype == "int32":
        embedding = layers.Reshape((1, 1, 8))(layers.Embedding(1001, 8)(level))
    x = layers.Conv2D(8, 3, padding="same")(noisy) + layers.Conv2D(8, 1)(embedding)
    return with_random_weights(
        keras.Model([noisy, level], layers.Conv2D(shape[-1], 3, padding="same")(keras.ops.tanh(x)))
    )


def array_network(shape: tuple[int, ...], classes: int = 0) -> keras.Model:
    """A network of arrays of 1 to 3 axes, with a convolution along each axis but the last."""
    inputs = [keras.Input(shape, name="noisy"), keras.Input((), name="time")]
    embedding = layers.Dense(8)(layers.Reshape((1,))(inputs[1]))
    if classes:
        inputs.append(keras.Input((), dtype="int64", name="labels"))
        # Not by a table, whose Gather would fail in onnxruntime before the graph refuses a label.
        known = keras.ops.equal(layers.Reshape((1,))(inputs[2]), keras.ops.arange(classes))
        embedding += layers.Dense(8)(keras.ops.cast(known, "float32"))
    x = layers.Dense(8)(inputs[0]) + layers.Reshape((*[1] * (len(shape) - 1), 8))(embedding)
    kind = {2: layers.Conv1D, 3: layers.Conv2D}.get(len(shape))
    x = keras.ops.tanh(x if kind is None else kind(8, 3, padding="same")(x))
    return with_random_weights(keras.Model(inputs, layers.Dense(shape[-1])(x)))


def small_bundle(bundle: Path, **settings: Any) -> Path:
    """A bundle of `small_network`, of its sampler alone unless settings say more."""
    least = {"graphs": ("sampler",), "saved_model": False}
    export_bundle(small_network(), bundle, **{**PIXELS, **least, **settings})
    return bundle


def small_exporter(
    network: keras.Model | None = None,
    *,
    tables: Tables | None = None,
    codec: tuple[Any, Any] = (None, None),
    **settings: Any,
) -> OnnxExporter:
    """The graphs of a network, `small_network` by default, without files or a certificate."""
    pixels = {} if "mean" in settings else PIXELS
    model, baking = settings_as_objects(**{**pixels, **settings})
    signatures = baked_signatures(network or small_network(), model, baking, codec)
    return graph_exporter(signatures.with_tables(tables), baking)


def run_function(function: Any, **tensors: Any) -> dict[str, np.ndarray]:
    """All outputs by name of a function that a SavedModel would hold."""
    outputs = function(*(tf.constant(tensors[s.name], s.dtype) for s in function.input_signature))
    return {name: value.numpy() for name, value in outputs.items()}


def run_onnx(graph: Path | onnx.ModelProto, **tensors: Any) -> list[np.ndarray]:
    """All outputs of a graph on the CPU."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        graph if isinstance(graph, Path) else graph.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    return [np.asarray(output) for output in session.run(None, tensors)]


def run_saved_model(bundle: Path, signature: str, **tensors: Any) -> dict[str, np.ndarray]:
    """All outputs of a signature by name."""
    function = tf.saved_model.load(str(bundle / "saved_model")).signatures[signature]
    outputs = function(**{name: tf.constant(value) for name, value in tensors.items()})
    return {name: value.numpy() for name, value in outputs.items()}
