"""Attention over positions, however it is written, converts without a change of layout."""

from typing import Any

import pytest
import tensorflow as tf
from attention_networks import (
    CHANNELS,
    HEIGHT,
    POSITIONS,
    WIDTH,
    Middle,
    check_numbers,
    converted,
    image,
    network,
    operators,
    tokens,
)
from keras import layers, ops

from diffkiln.export.graphs.rewriting.tidying import transposes_made
from diffkiln.trainer.network.layers import SelfAttention


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
        scores_with_a_bias,
    ],
)
def test_attention_costs_no_transposes(attention: Middle, plain: int) -> None:
    model = network(attention)
    graph = converted(model)
    check_numbers(model, graph)
    assert transposes_made(graph) == plain
    assert "Einsum" not in operators(graph)


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


def dense_by_letters(x: Any) -> Any:
    return layers.Reshape((HEIGHT, WIDTH, CHANNELS))(DenseByLetters()(x))


@pytest.mark.parametrize(
    "middle",
    [
        transformer_block,
        across_channels,
        reshaped_across,
        windows_of_heads,
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
