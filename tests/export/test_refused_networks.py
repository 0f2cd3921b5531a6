"""Networks that a bundle cannot hold are refused by name, and nothing is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import PIXELS, small_exporter

from diffkiln.export import export_bundle
from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow


class Counting(keras.layers.Layer):
    """Adds how often it was called."""

    calls = 0

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        self.calls += 1
        return inputs + self.calls


class Restless(keras.layers.Layer):
    """Adds noise of its own."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs + tf.random.normal([8, 8, 3])


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Counting, r"^parity: .* differ by up to .* one of its layers was converted wrongly"),
        (Restless, r"^network: its layer restless.* RandomNormal, which the runtime does not take"),
    ],
)
def test_a_network_that_is_not_a_function_is_refused_and_leaves_nothing(
    tmp_path: Path, layer: type[keras.layers.Layer], message: str
) -> None:
    """Every host would draw pictures of its own."""
    noisy, time = keras.Input((8, 8, 3)), keras.Input(())
    settings: Any = {**PIXELS, "graphs": ("sampler",), "saved_model": False}
    with pytest.raises(InputError, match=message):
        export_bundle(keras.Model([noisy, time], layer()(noisy)), tmp_path / "b", **settings)
    assert not list(tmp_path.iterdir())


class Subclassed(keras.Model):
    """A network whose inputs nobody knows before it is called."""


def inputs() -> tuple[Any, Any]:
    return keras.Input((8, 8, 3)), keras.Input(())


def one_input() -> keras.Model:
    image, _ = inputs()
    return keras.Model(image, image)


def grey_output() -> keras.Model:
    noisy, time = inputs()
    return keras.Model([noisy, time], keras.layers.Conv2D(1, 1)(noisy))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (one_input, r"network: has inputs 1: float32\[N, 8, 8, 3\]; expected noisy images"),
        (grey_output, r"network: has outputs \[N, 8, 8, 1\], expected one that is the"),
        (Subclassed, "network: got Subclassed, whose inputs are not known, since it was never"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(
    tmp_path: Path, make: Callable[[], keras.Model], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export_bundle(make(), tmp_path / "b", **PIXELS)
    assert not list(tmp_path.iterdir())


class Gamma(keras.layers.Layer):
    """A layer of somebody's own with an operator that ONNX lacks."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.math.lgamma(inputs)


def spectrum(x: Any) -> Any:
    """What the converter has an operator for, but raises an exception over."""
    operations: Any = keras.ops
    real, _ = operations.stft(x[..., 0, 0], 4, 2, 4)
    return x + real[:, :1, None, :3]


@pytest.mark.parametrize(
    ("operation", "layer", "operator"),
    [
        (Gamma(name="my_gamma"), "my_gamma", "Lgamma"),
        (keras.ops.erfinv, "erfinv", "Erfinv"),
        (spectrum, "stft", "RFFT"),
    ],
)
def test_an_operator_that_onnx_lacks_is_named_with_its_layer(
    tmp_path: Path, operation: Callable[[Any], Any], layer: str, operator: str
) -> None:
    noisy, time = inputs()
    named = f"network: its layer {layer}.* has the operator {operator}, for which ONNX has none"
    with pytest.raises(InputError, match=named):
        export_bundle(keras.Model([noisy, time], operation(noisy)), tmp_path / "b", **PIXELS)
    assert not list(tmp_path.iterdir())


def test_a_network_for_so_many_images_alone_is_refused(tmp_path: Path) -> None:
    noisy, time = keras.Input(batch_shape=(4, 8, 8, 3)), keras.Input(batch_shape=(4,))
    flat = keras.ops.reshape(keras.layers.Conv2D(3, 1)(noisy), (4, 192))
    network = keras.Model([noisy, time], keras.ops.reshape(flat, (4, 8, 8, 3)))
    settings: Any = {**PIXELS, "graphs": ("sampler",), "saved_model": False}
    with pytest.raises(InputError, match=r"on 1 images .* expected a network for any number of"):
        export_bundle(network, tmp_path / "b", **settings)
    assert not list(tmp_path.iterdir())


def attending_network() -> keras.Model:
    """Draws the same pictures everywhere, but DDIM cannot be taken back through its attention."""
    noisy, level = keras.Input((8, 8, 3)), keras.Input((1, 1, 1))
    x = keras.layers.Conv2D(16, 3, padding="same", activation="swish")(noisy)
    x = x + keras.layers.Conv2D(16, 1)(level)
    for _ in range(2):
        tokens = keras.layers.Reshape((64, 16))(x)
        query, key, value = (keras.layers.Dense(16)(tokens) for _ in range(3))
        shares = keras.ops.softmax(keras.ops.matmul(query, keras.ops.transpose(key, (0, 2, 1))))
        x = x + keras.layers.Reshape((8, 8, 16))(keras.ops.matmul(shares, value))
        x = keras.layers.Conv2D(16, 3, padding="same", activation="swish")(x)
    network = keras.Model([noisy, level], keras.layers.Conv2D(3, 1)(x))
    rng = np.random.default_rng(0)
    for weight in network.weights:
        wide = len(weight.shape) > 1
        size = 1.3 / np.sqrt(np.prod(weight.shape[:-1])) if wide else 0.2
        weight.assign(rng.normal(0, size, weight.shape))
    return network


def test_encode_is_in_the_saved_model_only_where_it_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = attending_network()
    settings: Any = {"pixel_mean": 0.5, "pixel_std": 0.5, "prediction": "image"}
    settings["conditioning"] = "noise_rate"
    certificate = export_bundle(network, tmp_path / "b", graphs=("sampler",), **settings)
    assert "The SavedModel has no encode" in caplog.text
    assert "saved_model from_noise" in certificate.to_reference
    assert "saved_model encode" not in certificate.to_reference
    with pytest.raises(InputError, match=r"parity: encode.onnx .* differ"):
        export_bundle(network, tmp_path / "c", graphs=("sampler", "encode"), **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_dropout_does_not_reach_the_graph() -> None:
    noisy, time = inputs()
    hidden = keras.layers.Dropout(0.5)(keras.layers.Conv2D(16, 3, padding="same")(noisy))
    output = keras.layers.Conv2D(3, 3, padding="same")(hidden)
    step = small_exporter(keras.Model([noisy, time], output)).graph("step")
    assert not {node.op_type for node in step.graph.node} & {"Dropout", "RandomUniform"}
