"""Attention over positions, however it is written, converts without a change of layout."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from keras import layers, ops
from small_models import with_random_weights

from diffkiln.export.graphs.conversion import convert
from diffkiln.export.graphs.tidying import transposes_made
from diffkiln.trainer.network.layers import SelfAttention

HEIGHT, WIDTH, CHANNELS = 4, 6, 16
POSITIONS = HEIGHT * WIDTH

Middle = Callable[[Any], Any]


def tokens(image: Any) -> Any:
    return layers.Reshape((POSITIONS, CHANNELS))(image)


def image(tokens: Any) -> Any:
    return layers.Reshape((HEIGHT, WIDTH, CHANNELS))(tokens)


def weighted(query: Any, key: Any, value: Any) -> Any:
    """Softmax attention of tokens."""
    scores: Any = ops.matmul(query, ops.swapaxes(key, -1, -2))
    return ops.matmul(ops.softmax(scores * CHANNELS**-0.5), value)


def dense_on_images(x: Any) -> Any:
    x = layers.GroupNormalization(4)(x)
    query, key, value = (tokens(layers.Dense(CHANNELS)(x)) for _ in range(3))
    return layers.Dense(CHANNELS)(image(weighted(query, key, value)))


def dense_on_tokens(x: Any) -> Any:
    x = tokens(x)
    query, key, value = (layers.Dense(CHANNELS)(x) for _ in range(3))
    return image(layers.Dense(CHANNELS)(weighted(query, key, value)))


def convolutions(x: Any) -> Any:
    query, key, value = (tokens(layers.Conv2D(CHANNELS, 1)(x)) for _ in range(3))
    return layers.Conv2D(CHANNELS, 1)(image(weighted(query, key, value)))


def heads_in_one_dense(x: Any) -> Any:
    x = layers.Reshape((POSITIONS, 3, 4, CHANNELS // 4))(layers.Dense(3 * CHANNELS)(x))
    parts: Any = ops.transpose(x, (2, 0, 3, 1, 4))
    heads = ops.transpose(weighted(parts[0], parts[1], parts[2]), (0, 2, 1, 3))
    return layers.Dense(CHANNELS)(image(heads))


def trainers_own(x: Any) -> Any:
    heads = SelfAttention(4)(layers.Conv2D(3 * CHANNELS, 1)(x))
    return layers.Conv2D(CHANNELS, 1)(heads)


def sums_over_rows_and_columns(x: Any) -> Any:
    return ByLetters()(x)


def keras_attention(x: Any) -> Any:
    x = tokens(x)
    return image(layers.Attention(use_scale=True)([layers.Dense(CHANNELS)(x) for _ in range(3)]))


def keras_heads(x: Any) -> Any:
    x = tokens(x)
    return image(layers.MultiHeadAttention(4, CHANNELS // 4)(x, x))


def over_axes(**settings: Any) -> Middle:
    """Keras's heads, over rows and columns as two axes."""
    return lambda x: layers.MultiHeadAttention(4, 4, attention_axes=(1, 2), **settings)(x, x)


def over_all_axes(x: Any) -> Any:
    return layers.MultiHeadAttention(4, 4)(x, x)


def over_axes_from_the_end(x: Any) -> Any:
    return layers.MultiHeadAttention(4, 4, attention_axes=(-3, -2))(x, x)


def over_another_image(x: Any) -> Any:
    other = layers.Conv2D(12, 1)(layers.AveragePooling2D(2)(x))
    layer = layers.MultiHeadAttention(
        2, 5, value_dim=7, attention_axes=(1, 2), output_shape=CHANNELS, use_bias=False
    )
    return layer(x, other)


def over_earlier_positions(x: Any) -> Any:
    """Attention over two axes with a mask."""
    mask = np.tril(np.ones((POSITIONS, POSITIONS), bool)).reshape(1, *[HEIGHT, WIDTH] * 2)
    return layers.MultiHeadAttention(2, 8)(x, x, attention_mask=tf.constant(mask))


def dense_einsums(x: Any) -> Any:
    heads = layers.EinsumDense("bhwc,cnd->bhwnd", (HEIGHT, WIDTH, 4, 4), bias_axes="nd")(x)
    return layers.EinsumDense("bhwnd,ndc->bhwc", (HEIGHT, WIDTH, CHANNELS), bias_axes="c")(heads)


def windows_of_heads(x: Any) -> Any:
    """Heads that see one half of the image each, so that products have three axes before them."""
    x = layers.Reshape((2, POSITIONS // 2, 3, 2, CHANNELS // 2))(layers.Dense(3 * CHANNELS)(x))
    parts: Any = ops.transpose(x, (3, 0, 1, 4, 2, 5))
    heads = ops.transpose(weighted(parts[0], parts[1], parts[2]), (0, 1, 3, 2, 4))
    return layers.Dense(CHANNELS)(image(heads))


def scores_with_a_bias(x: Any) -> Any:
    """A learned number for each pair of positions, and values narrower than the image."""
    x = tokens(x)
    query, key, value = (layers.Dense(width)(x) for width in (8, 8, 12))
    scores = Added((POSITIONS, POSITIONS))(ops.einsum("bqc,bkc->bqk", query, key))
    heads = ops.einsum("bqk,bkc->bqc", ops.softmax(scores), value)
    return image(layers.Dense(CHANNELS)(heads))


class ByLetters(layers.Layer):
    """Attention in which height and width stay two axes, told apart by capital letters."""

    def build(self, input_shape: tuple) -> None:
        self.dense = [layers.Dense(CHANNELS) for _ in range(4)]
        for layer in self.dense:
            layer.build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        query, key, value = (layer(inputs) for layer in self.dense[:3])
        scores = tf.einsum("bhwc,bHWc->bhwHW", query, key) / CHANNELS**0.5
        weights = tf.nn.softmax(tf.reshape(scores, (-1, HEIGHT, WIDTH, POSITIONS)))
        weights = tf.reshape(weights, (-1, HEIGHT, WIDTH, HEIGHT, WIDTH))
        return self.dense[3](tf.einsum("bhwHW,bHWc->bhwc", weights, value))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape


class DenseByLetters(layers.Layer):
    """Weights over the channels, a diagonal and a sum, each by letters."""

    def build(self, input_shape: tuple) -> None:
        self.weights_by_letters = self.add_weight(shape=(input_shape[-1], CHANNELS))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        x = tf.einsum("bhwc,cd->bhwd", inputs, self.weights_by_letters)
        x = x + tf.einsum("bhwd,dd->bhwd", x, self.weights_by_letters)
        return tf.einsum("bhwd->bwhd", x) + tf.einsum("bhwd->bd", x)[:, None, None]

    def compute_output_shape(self, shape: tuple) -> tuple:
        return (shape[0], shape[2], shape[1], shape[3])


class Added(layers.Layer):
    """x + weights of a shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.added = self.add_weight(shape=shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs + self.added


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


@pytest.fixture(scope="module")
def plain() -> int:
    """How many Transposes onnxruntime makes in the network without attention."""
    return transposes_made(converted(network(lambda x: x)))


@pytest.mark.parametrize(
    "attention",
    [
        dense_on_images,
        dense_on_tokens,
        convolutions,
        heads_in_one_dense,
        trainers_own,
        sums_over_rows_and_columns,
        keras_attention,
        keras_heads,
        scores_with_a_bias,
        over_axes(),
        over_axes(use_bias=False, dropout=0.1),
        over_axes(use_gate=True),
        over_all_axes,
        over_axes_from_the_end,
        over_another_image,
        over_earlier_positions,
        dense_einsums,
    ],
)
def test_attention_costs_no_transposes(attention: Middle, plain: int) -> None:
    model = network(attention)
    graph = converted(model)
    check_numbers(model, graph)
    assert transposes_made(graph) == plain
    assert "Einsum" not in operators(graph)


def operators(graph: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in graph.graph.node)


def test_attention_over_two_axes_is_what_it_is_over_tokens() -> None:
    # It has more Reshapes alone, which compute nothing.
    axes, tokens = (operators(converted(network(f))) for f in (over_axes(), keras_heads))
    assert axes - tokens == Counter(Reshape=axes["Reshape"] - tokens["Reshape"])
    assert not tokens - axes
    assert axes["MatMul"] == 6


def transformer_block(x: Any) -> Any:
    """Attention and a pair of Dense layers on normalised tokens."""
    x = tokens(x)
    normal = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(2, 8)(normal, normal)
    hidden = layers.Dense(32, activation="gelu")(layers.LayerNormalization()(x))
    return image(x + layers.Dense(CHANNELS)(hidden))


def across_channels(x: Any) -> Any:
    """Attention of channels to each other, whose scores are a matrix of channels."""
    x = tokens(x)
    scores = ops.softmax(ops.matmul(ops.swapaxes(x, 1, 2), x))
    return image(ops.matmul(x, scores))


def reshaped_across(x: Any) -> Any:
    """Reshaping that mixes channels and positions."""
    return image(layers.Reshape((CHANNELS, POSITIONS))(x))


def over_columns(x: Any) -> Any:
    return layers.MultiHeadAttention(2, 8, attention_axes=1)(x, x)


def over_rows_of_halves(x: Any) -> Any:
    halves = layers.Reshape((2, HEIGHT // 2, WIDTH, CHANNELS))(x)
    return image(layers.MultiHeadAttention(2, 8, attention_axes=(2, 3))(halves, halves))


def groups_of_heads(x: Any) -> Any:
    x = tokens(x)
    return image(layers.GroupQueryAttention(4, 4, 2)(x, x))


def dense_by_letters(x: Any) -> Any:
    return layers.Reshape((HEIGHT, WIDTH, CHANNELS))(DenseByLetters()(x))


@pytest.mark.parametrize(
    "middle",
    [
        transformer_block,
        across_channels,
        reshaped_across,
        windows_of_heads,
        over_columns,
        over_rows_of_halves,
        groups_of_heads,
    ],
)
def test_what_needs_transposes_still_converts(middle: Middle) -> None:
    model = network(middle)
    graph = converted(model)
    check_numbers(model, graph)
    assert "Einsum" not in operators(graph)


def test_a_diagonal_still_converts() -> None:
    model = network(dense_by_letters)
    graph = converted(model)
    check_numbers(model, graph)
    assert operators(graph)["Einsum"] == 1
