"""Keras's attention layers, over tokens or axes, convert to the same few matrix products."""

from collections import Counter
from typing import Any

import numpy as np
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
from keras import layers

from diffkiln.export.graphs.rewriting.tidying import transposes_made


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


def over_earlier_tokens(x: Any) -> Any:
    x = tokens(x)
    return image(layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True))


def over_some_earlier_tokens(x: Any) -> Any:
    x, near = tokens(x), np.tri(POSITIONS, k=3, dtype=bool)[None]
    layer = layers.MultiHeadAttention(2, 8)
    return image(layer(x, x, attention_mask=tf.constant(near), use_causal_mask=True))


def dense_einsums(x: Any) -> Any:
    heads = layers.EinsumDense("bhwc,cnd->bhwnd", (HEIGHT, WIDTH, 4, 4), bias_axes="nd")(x)
    return layers.EinsumDense("bhwnd,ndc->bhwc", (HEIGHT, WIDTH, CHANNELS), bias_axes="c")(heads)


@pytest.fixture(scope="module")
def plain() -> int:
    """How many Transposes onnxruntime makes in the network without attention."""
    return transposes_made(converted(network(lambda x: x)))


@pytest.mark.parametrize(
    "attention",
    [
        keras_attention,
        keras_heads,
        over_axes(),
        over_axes(use_bias=False, dropout=0.1),
        over_axes(use_gate=True),
        over_all_axes,
        over_axes_from_the_end,
        over_another_image,
        over_earlier_positions,
        over_earlier_tokens,
        over_some_earlier_tokens,
        dense_einsums,
    ],
)
def test_attention_costs_no_transposes(attention: Middle, plain: int) -> None:
    model = network(attention)
    graph = converted(model)
    check_numbers(model, graph)
    assert transposes_made(graph) == plain
    assert not {"Einsum", "And", "Expand", "Shape"} & {*operators(graph)}


def test_attention_over_two_axes_is_what_it_is_over_tokens() -> None:
    # It has more Reshapes alone, which compute nothing.
    axes, tokens = (operators(converted(network(f))) for f in (over_axes(), keras_heads))
    assert axes - tokens == Counter(Reshape=axes["Reshape"] - tokens["Reshape"])
    assert not tokens - axes
    assert axes["MatMul"] == 6


def over_columns(x: Any) -> Any:
    return layers.MultiHeadAttention(2, 8, attention_axes=1)(x, x)


def over_rows_of_halves(x: Any) -> Any:
    halves = layers.Reshape((2, HEIGHT // 2, WIDTH, CHANNELS))(x)
    return image(layers.MultiHeadAttention(2, 8, attention_axes=(2, 3))(halves, halves))


def groups_of_heads(x: Any) -> Any:
    x = tokens(x)
    return image(layers.GroupQueryAttention(4, 4, 2)(x, x))


@pytest.mark.parametrize("middle", [over_columns, over_rows_of_halves, groups_of_heads])
def test_what_needs_transposes_still_has_no_einsum(middle: Middle) -> None:
    model = network(middle)
    graph = converted(model)
    check_numbers(model, graph)
    assert "Einsum" not in operators(graph)


def test_a_mask_that_is_counted_stays() -> None:
    def counted(x: tf.Tensor) -> tf.Tensor:
        mask = tf.ones_like(x, dtype="bool") & tf.constant(
            np.tri(HEIGHT, WIDTH, dtype=bool)[..., None]
        )
        number = tf.reduce_sum(tf.cast(mask, tf.float32), -1, keepdims=True)
        return tf.where(mask, x, -1.0) + number

    model = network(layers.Lambda(counted))
    graph = converted(model)
    check_numbers(model, graph)
    assert "Expand" in operators(graph)


@pytest.mark.parametrize(
    ("axes", "mask", "expected"),
    [
        ((2, 3), None, 1),
        ([-1, -2, -3], (1, HEIGHT, WIDTH, CHANNELS), 1),
        ((2, 3), (WIDTH, CHANNELS), 1),
        ((2, 3), (1, 1, 1, CHANNELS), 0),
        ((1, 2), None, 0),
        (-1, None, 1),
    ],
)
def test_a_softmax_over_the_last_axes_is_one_operator(axes: Any, mask: Any, expected: int) -> None:
    kept = None if mask is None else tf.constant(np.arange(np.prod(mask)).reshape(mask) % 3 > 0)
    model = network(lambda x: layers.Softmax(axes)(x, mask=kept))
    graph = converted(model)
    check_numbers(model, graph)
    assert operators(graph)["Softmax"] == expected
