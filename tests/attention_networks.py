"""Small networks with something in their middle, converted and checked."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from keras import layers
from small_models import with_random_weights

from diffkiln.export.graphs.conversion import convert

HEIGHT, WIDTH, CHANNELS = 4, 6, 16
POSITIONS = HEIGHT * WIDTH

Middle = Callable[[Any], Any]


def tokens(image: Any) -> Any:
    return layers.Reshape((POSITIONS, CHANNELS))(image)


def image(tokens: Any) -> Any:
    return layers.Reshape((HEIGHT, WIDTH, CHANNELS))(tokens)


def network(middle: Middle) -> keras.Model:
    noisy = keras.Input((2 * HEIGHT, 2 * WIDTH, 3))
    x = layers.Conv2D(CHANNELS, 3, strides=2, padding="same")(noisy)
    x = layers.Activation("swish")(layers.BatchNormalization()(x))
    x = x + middle(x)
    x = layers.UpSampling2D()(layers.Conv2D(CHANNELS, 3, padding="same")(x))
    return with_random_weights(keras.Model(noisy, layers.Conv2D(3, 3, padding="same")(x)))


def converted(model: keras.Model) -> onnx.ModelProto:
    spec = tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.float32, "noisy")
    return convert(tf.function(lambda noisy: {"output": model(noisy)}, input_signature=[spec]))


def check_numbers(model: keras.Model, graph: onnx.ModelProto) -> None:
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for batch in (1, 3):
        shape = (batch, *model.inputs[0].shape[1:])
        noisy = np.random.default_rng(batch).standard_normal(shape).astype(np.float32)
        output = np.asarray(session.run(None, {"noisy": noisy})[0])
        # Float32 kernels of two libraries, relative to outputs of any size.
        expected = model(noisy).numpy()
        np.testing.assert_allclose(output, expected, atol=1e-4 * np.abs(expected).max())


def operators(graph: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in graph.graph.node)
