"""What transformers are made of converts to operators that onnxruntime has one kernel for."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from keras import layers, ops
from onnx import TensorProto
from small_models import with_random_weights

from diffkiln.export.graphs.conversion import convert
from diffkiln.export.graphs.graph import runner
from diffkiln.export.graphs.rewriting.half_precision import half_precision

TOKENS, CHANNELS = 6, 8

Layers = Callable[[Any], Any]


def network(middle: Layers, shape: tuple[int, ...] = (TOKENS, CHANNELS)) -> keras.Model:
    noisy = keras.Input(shape)
    return with_random_weights(keras.Model(noisy, layers.Dense(3)(middle(noisy))))


def converted(model: keras.Model) -> onnx.ModelProto:
    """The graph, checked against the network."""
    spec = tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.float32, "noisy")
    graph = convert(tf.function(lambda x: {"output": model(x)}, input_signature=[spec]))
    check_numbers(model, graph, 1e-5)  # float32 kernels of two libraries
    return graph


def check_numbers(model: keras.Model, graph: onnx.ModelProto, tolerance: float) -> None:
    run = runner(graph.SerializeToString())
    for batch in (1, 3):
        shape = (batch, *model.inputs[0].shape[1:])
        # Far from mean 0, where a variance as a difference of squares would lose its digits.
        noisy = 3 + np.random.default_rng(batch).standard_normal(shape).astype(np.float32)
        expected = model(noisy).numpy()
        limit = tolerance * np.abs(expected).max()
        np.testing.assert_allclose(run({"noisy": noisy})["output"], expected, rtol=0, atol=limit)


def operators(graph: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in graph.graph.node)


def block(x: Any) -> Any:
    """Attention and a pair of Dense layers."""
    normal = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(2, 4)(normal, normal)
    hidden = layers.Dense(16, activation="gelu")(layers.LayerNormalization()(x))
    return x + layers.Dense(CHANNELS)(hidden)


def modulated(x: Any) -> Any:
    """A normalisation whose factor and term are computed, as in DiT."""
    normal = layers.LayerNormalization(center=False, scale=False, epsilon=1e-6)(x)
    about: Any = ops.mean(x, axis=1, keepdims=True)
    return normal * (1 + layers.Dense(CHANNELS)(about)) + layers.Dense(CHANNELS)(about)


def added_twice(x: Any) -> Any:
    """A normalisation that two layers take, so that neither's weights belong to it."""
    normal = layers.LayerNormalization(center=False, scale=False)(x)
    return normal * np.full(CHANNELS, 2, np.float32) + layers.Dense(CHANNELS)(normal)


@pytest.mark.parametrize(
    ("middle", "expected"),
    [
        (layers.LayerNormalization(), Counter(LayerNormalization=1)),
        (layers.LayerNormalization(scale=False), Counter(LayerNormalization=1)),
        (layers.LayerNormalization(center=False), Counter(LayerNormalization=1)),
        (modulated, Counter(LayerNormalization=1, ReduceMean=1, Mul=1)),
        (added_twice, Counter(LayerNormalization=1, Mul=1)),
        (block, Counter(LayerNormalization=2, Mul=3)),
    ],
)
def test_a_normalisation_of_tokens_is_one_operator(middle: Layers, expected: Counter) -> None:
    found = operators(converted(network(middle)))
    named = ("LayerNormalization", "Mul", "Sub", "Sqrt", "ReduceMean")
    assert Counter({name: found[name] for name in named if found[name]}) == expected


@pytest.mark.parametrize(
    ("axis", "shape"), [(-1, (3, 4, CHANNELS)), (1, (TOKENS, CHANNELS)), ((1, 2), (3, CHANNELS))]
)
def test_normalisations_of_images_and_over_other_axes_stay(axis: Any, shape: tuple) -> None:
    graph = converted(network(layers.LayerNormalization(axis=axis), shape))
    assert "LayerNormalization" not in operators(graph)


def erf(x: Any) -> Any:
    return ops.erf(x)


@pytest.mark.parametrize(
    "gelu",
    [
        layers.Activation("gelu"),
        lambda x: ops.gelu(x, approximate=False),
        lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2).item())),
        lambda x: x * (0.5 + 0.5 * erf(x * 0.5**0.5)),
    ],
    ids=["activation", "ops", "by hand", "by hand otherwise"],
)
def test_onnxruntime_finds_gelus(gelu: Layers, tmp_path: Path, request: Any) -> None:
    graph = converted(network(gelu))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(graph.SerializeToString(), options)
    found = operators(onnx.load(tmp_path / "optimised.onnx"))
    assert found["Gelu"] == ("otherwise" not in request.node.name)


def test_another_error_function_stays() -> None:
    found = operators(converted(network(lambda x: erf(0.5 * x) + erf(x * 0.5**0.5))))
    assert found["Erf"] == 2


def test_in_half_precision_tokens_are_normalised_in_float32() -> None:
    model = network(block)
    graph = half_precision(converted(model))
    check_numbers(model, graph, 0.004)  # test_half_precision.py has the reason
    types = {value.name: value.data_type for value in graph.graph.initializer}
    norms = [node for node in graph.graph.node if node.op_type == "LayerNormalization"]
    weights = {types[name] for node in norms for name in node.input[1:]}
    assert weights == {TensorProto.FLOAT}
