"""Networks of the usual layers convert to the same numbers, without Transposes between them."""

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from keras import layers
from small_models import with_random_weights
from tf2onnx.optimizer.const_fold_optimizer import ConstFoldOptimizer

from diffkiln.export.graphs.conversion import convert
from diffkiln.trainer.errors import InputError

Layer = Callable[[], Any]


def group_normalization(**settings: Any) -> Layer:
    return lambda: layers.GroupNormalization(**settings)


class Normalized(layers.Layer):
    """A layer of somebody's own that holds another."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = layers.GroupNormalization(4)

    def build(self, input_shape: tuple) -> None:
        self.inner.build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.inner(inputs)


def network(
    norm: Layer = layers.BatchNormalization,
    upsampling: Layer = layers.UpSampling2D,
    activation: Any = "swish",
) -> keras.Model:
    """A U-Net of two levels for 8×12 images."""
    noisy, time = keras.Input((8, 12, 3)), keras.Input(())
    embedding = layers.Conv2D(16, 1)(layers.Reshape((1, 1, 1))(time))

    def block(x: Any) -> Any:
        x = layers.Activation(activation)(norm()(x) + embedding)
        return x + layers.Conv2D(16, 3, padding="same")(x)

    first = block(layers.Conv2D(16, 3, padding="same")(noisy))
    x = block(layers.Conv2D(16, 3, strides=2, padding="same")(first))
    x = block(layers.Concatenate()([upsampling()(x), first])[..., :16])
    model = keras.Model([noisy, time], layers.Conv2D(3, 3, padding="same")(norm()(x)))
    return with_random_weights(model)


def converted(model: keras.Model) -> onnx.ModelProto:
    specs = [tf.TensorSpec([None, 8, 12, 3], tf.float32, "noisy"), tf.TensorSpec([None], name="t")]
    function = tf.function(lambda *inputs: {"output": model(inputs)}, input_signature=specs)
    return convert(function)


def check_numbers(model: keras.Model, graph: onnx.ModelProto) -> None:
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for batch in (1, 3):
        noisy = np.random.default_rng(batch).standard_normal((batch, 8, 12, 3)).astype(np.float32)
        time = np.linspace(0, 1, batch, dtype=np.float32)
        output = np.asarray(session.run(None, {"noisy": noisy, "t": time})[0])
        expected = model([noisy, time]).numpy()
        # Float32 kernels of two libraries, relative to outputs of any size.
        np.testing.assert_allclose(output, expected, atol=1e-4 * np.abs(expected).max())


def transposes(graph: onnx.ModelProto) -> int:
    return Counter(node.op_type for node in graph.graph.node)["Transpose"]


@pytest.fixture(scope="module")
def plain() -> int:
    """How many Transposes the same network has with BatchNormalization."""
    return transposes(converted(network()))


@pytest.mark.parametrize(
    "norm",
    [
        group_normalization(groups=4),
        group_normalization(groups=1, epsilon=0.1),
        group_normalization(groups=-1, scale=False),
        group_normalization(groups=8, center=False, scale=False),
        Normalized,
    ],
    ids=["groups", "one group", "instance", "bare", "inside another layer"],
)
def test_group_normalization_costs_no_transposes(norm: Layer, plain: int) -> None:
    model = network(norm)
    graph = converted(model)
    check_numbers(model, graph)
    assert transposes(graph) == plain
    assert Counter(node.op_type for node in graph.graph.node)["InstanceNormalization"] == 4


@pytest.mark.parametrize(
    ("upsampling", "operator"),
    [
        (lambda: layers.UpSampling2D(2), "Resize"),
        (lambda: layers.UpSampling2D(2, interpolation="bilinear"), "Resize"),
        (lambda: layers.Conv2DTranspose(16, 4, strides=2, padding="same"), "ConvTranspose"),
    ],
    ids=["nearest", "bilinear", "transposed convolution"],
)
def test_upsampling_is_one_operator(upsampling: Layer, operator: str, plain: int) -> None:
    model = network(upsampling=upsampling)
    graph = converted(model)
    check_numbers(model, graph)
    assert Counter(node.op_type for node in graph.graph.node)[operator] == 1
    assert transposes(graph) == plain


@pytest.mark.parametrize(
    "activation", ["gelu", "mish", "softplus", "elu", "relu", "celu", "squareplus", tf.math.asinh]
)
def test_activations_convert(activation: str, plain: int) -> None:
    model = network(activation=activation)
    graph = converted(model)
    check_numbers(model, graph)
    assert transposes(graph) == plain


def around(layer: Any) -> keras.Model:
    """A layer between two convolutions."""
    noisy, time = keras.Input((8, 12, 3)), keras.Input(())
    x = layers.Conv2D(16, 3, padding="same")(noisy) + layers.Reshape((1, 1, 1))(time)
    return with_random_weights(keras.Model([noisy, time], layers.Conv2D(3, 1)(layer(x))))


def test_a_convolution_in_groups_is_one_operator() -> None:
    # Keras has XLA compile it, since TensorFlow has no kernel of it for the CPU.
    model = around(layers.Conv2D(16, 3, padding="same", groups=4))
    graph = converted(model)
    check_numbers(model, graph)
    assert [node.op_type for node in graph.graph.node].count("Conv") == 3


_TABLE = tf.random.stateless_uniform((8, 12, 16), (1, 2))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Normalization(mean=0.5, variance=2.0),
        lambda: layers.Lambda(lambda x: x * _TABLE),
        lambda: layers.Lambda(lambda x: tf.roll(x, (2, 3), (1, 2))),
        lambda: layers.Lambda(lambda x: tf.reverse(x, (2,))),
        lambda: layers.Lambda(lambda x: tf.math.log1p(tf.abs(x))),
        lambda: layers.Lambda(lambda x: x @ tf.eye(tf.shape(x)[-1])),
        lambda: layers.Lambda(tf.nn.local_response_normalization),
    ],
    ids=["its mean", "a table", "roll", "reverse", "log1p", "eye", "local response"],
)
def test_what_layers_are_made_of(layer: Layer) -> None:
    model = around(layer())
    check_numbers(model, converted(model))


@pytest.mark.parametrize("size", [(16, 24), (4, 6), (20, 18), (7, 5)])
def test_the_nearest_pixel(size: tuple[int, int], capfd: pytest.CaptureFixture[str]) -> None:
    model = around(layers.Resizing(*size, interpolation="nearest"))
    check_numbers(model, converted(model))
    # onnxruntime warned there of a mode that tf2onnx writes.
    assert "onnxruntime" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            lambda x: tf.cond(x[0, 0, 0, 0] > 0, lambda: x, lambda: -x),
            r"wayward\w* has the operator If, ",
        ),
        (
            lambda x: tf.while_loop(lambda v: tf.reduce_max(v) > 1, lambda v: [v / 2], [x])[0],
            r"wayward\w* has .* Loop, which the runtime does not take",
        ),
        (lambda x: tf.math.cumprod(x, 1), r"its layer wayward\w* has the operator Loop, "),
        (lambda x: tf.math.cumulative_logsumexp(x), "CumulativeLogsumexp, for which ONNX has none"),
        (lambda x: tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")[0], "cannot be run: MaxPool"),
    ],
    ids=["branch", "loop", "products", "not in ONNX", "not taken"],
)
def test_a_layer_that_cannot_be_baked_is_named(function: Callable, expected: str) -> None:
    pattern = f"^network: .*{expected}.*; replace that layer with other operations$"
    with pytest.raises(InputError, match=pattern) as error:
        converted(around(layers.Lambda(function, name="wayward")))
    # As tf2onnx calls the nodes that it adds.
    assert not re.search(r"__\d", str(error.value))


@pytest.fixture(scope="module")
def lowered() -> list[Any]:
    """Layers that are lowered while converting."""
    convolution = layers.Conv2D(16, 3, groups=4)
    examples = [layers.GroupNormalization(4), layers.UpSampling2D(), convolution]
    for layer in examples:
        layer.build((None, 8, 12, 16))
    return examples


def traced_operators(lowered: list[Any]) -> Counter[str]:
    """What layers trace to."""
    image = tf.TensorSpec([None, 8, 12, 16])
    graphs = [tf.function(layer).get_concrete_function(image).graph for layer in lowered]
    return Counter(node.type for graph in graphs for node in graph.get_operations())


def replaced() -> list[Any]:
    """What is replaced while converting."""
    replaced_layers = (
        layers.GroupNormalization,
        layers.LayerNormalization,
        layers.Softmax,
        layers.UpSampling2D,
    )
    return [*(layer.call for layer in replaced_layers), keras.Operation.__call__, tf.function]


def test_other_threads_see_keras_as_it_is_while_one_converts(lowered: list[Any]) -> None:
    before, during = traced_operators(lowered), []

    def ask_another_thread(x: tf.Tensor) -> tf.Tensor:
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(traced_operators, lowered)
            during.append((other.result(), traced_operators(lowered)))
        return x

    converted(around(layers.Lambda(ask_another_thread)))
    elsewhere, here = during[-1]
    assert elsewhere == before
    assert here["CheckNumerics"] == 1 > elsewhere["CheckNumerics"]


def test_two_threads_convert_what_one_does() -> None:
    models = [network(group_normalization(groups=2)), network(activation="gelu")]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(converted, models))
    for model, graph in zip(models, together, strict=True):
        check_numbers(model, graph)
        alone = Counter(node.op_type for node in converted(model).graph.node)
        assert Counter(node.op_type for node in graph.graph.node) == alone


def raising(_: tf.Tensor) -> tf.Tensor:
    raise RuntimeError("of a layer")


@pytest.mark.parametrize("fails", [False, True])
def test_keras_is_as_it_was_after_conversion(fails: bool) -> None:
    before = replaced()
    model = network(group_normalization(groups=2))
    if fails:
        model.layers[-1].call = raising
    with pytest.raises(InputError, match="of a layer") if fails else nullcontext():
        converted(model)
    assert replaced() == before


def test_an_optimizer_of_tf2onnx_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have done their work nevertheless."""
    calls = []

    def fail(_: Any, graph: Any) -> None:
        calls.append(graph)
        graph.reset_nodes([])
        raise ValueError("half done")

    model = network()
    whole = converted(model)
    monkeypatch.setattr(ConstFoldOptimizer, "_optimize", fail)
    graph = converted(model)
    assert len(calls) > 1
    assert len(graph.graph.node) >= len(whole.graph.node)
    check_numbers(model, graph)
