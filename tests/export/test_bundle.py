"""A bundle is whole or absent, and says what it is."""

import contextlib
import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import (
    PIXELS,
    conditioned_network,
    small_bundle,
    small_exporter,
    small_network,
)

from diffkiln.export import export_bundle, publish
from diffkiln.export.publish import published
from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow


def manifest(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "bundle.json").read_text())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = tmp_path_factory.mktemp("bundle") / "b"
    return small_bundle(bundle, graphs=("sampler", "noise"), saved_model=True)


def test_only_the_graphs_asked_for_are_there(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.glob("*.onnx")) == ["noise.onnx", "sampler.onnx"]
    assert list(manifest(bundle)["graphs"]) == ["sampler", "noise"]


def test_manifest_has_the_hash_of_every_other_file(bundle: Path) -> None:
    files = {
        path.relative_to(bundle).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in bundle.rglob("*")
        if path.is_file() and path.name != "bundle.json"
    }
    assert {name: file["sha256"] for name, file in manifest(bundle)["files"].items()} == files


def test_manifest_describes_the_model(bundle: Path) -> None:
    content = manifest(bundle)
    assert content["image"] == {"height": 8, "width": 8, "channels": 3, "dtype": "uint8"}
    assert content["schedule"]["max_signal_rate"] == 0.95
    assert content["pixel_mean"] == list(PIXELS["pixel_mean"])
    assert content["model"]["parameters"] == small_network().count_params()


def test_certificate_covers_every_form(bundle: Path) -> None:
    certificate = manifest(bundle)["certificate"]
    assert set(certificate["to_reference"]) == {
        "sampler.onnx",
        "saved_model serving_default",
        "saved_model from_noise",
        "saved_model denoise",
        "saved_model encode",
        "saved_model trajectory",
        "saved_model inpaint",
    }
    assert certificate["tolerance"] == 1 / 255


def test_an_existing_bundle_stays_without_overwrite(bundle: Path) -> None:
    before = (bundle / "bundle.json").read_bytes()
    with pytest.raises(InputError, match="exists; add --overwrite"):
        small_bundle(bundle)
    assert (bundle / "bundle.json").read_bytes() == before


def test_overwriting_replaces_all_of_what_a_link_leads_to(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "b")
    (tmp_path / "link").symlink_to("b")
    small_bundle(tmp_path / "link", overwrite=True, image_dtype="float32")
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "link"]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        "bundle.json",
        "sampler.onnx",
    ]
    content = manifest(tmp_path / "b")
    assert content["image"]["dtype"] == "float32"
    assert list(content["certificate"]["to_reference"]) == ["sampler.onnx"]
    assert "onnx_to_saved_model" not in content["certificate"]


def test_overwrite_spares_what_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="exists and is not a bundle"):
        small_bundle(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos").is_dir()


def test_weights_that_are_not_finite_fail_and_leave_nothing(tmp_path: Path) -> None:
    network = small_network()
    network.trainable_variables[0].assign(np.full(network.trainable_variables[0].shape, np.nan))
    with pytest.raises(InputError, match=r"network: .* not finite"):
        export_bundle(network, tmp_path / "b", **PIXELS)
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pixel_mean": (0.5, 0.5)}, "pixel_mean=.*each of 3 channels"),
        ({"pixel_std": (0.2, 0.0, 0.2)}, "pixel_std=.*from 1e-06 to 1"),
        ({"pixel_std": float("nan")}, "pixel_std=nan: expected one number"),
        ({"pixel_mean": (127, 127, 127)}, "pixel_mean=.*in units where pixels lie in"),
        ({"prediction": "score"}, "prediction=score: expected one of noise, velocity, image"),
        ({"image_dtype": "int8"}, "image_dtype=int8: expected one of uint8, float32"),
        ({"graphs": ("noise",)}, "graphs=noise: expected sampler and"),
        ({"graphs": ("sampler", "poem")}, "graphs=sampler,poem: expected"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        small_bundle(tmp_path / "b", **settings)
    assert not list(tmp_path.iterdir())


def test_one_number_stands_for_all_channels() -> None:
    signatures = small_exporter(conditioned_network(), pixel_mean=0.5, pixel_std=0.25).signatures
    assert signatures.sampling.denoiser.pixel_std == (0.25,) * 3


def interrupted(*_: Path) -> None:
    raise KeyboardInterrupt


def test_an_overwrite_that_is_interrupted_leaves_the_older_bundle(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bundle, tmp_path / "b")
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), published(tmp_path / "b") as part:
        (part / "bundle.json").write_text("{}")
    assert manifest(tmp_path / "b") == manifest(bundle)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def half_written(bundle: Path) -> None:
    with published(bundle) as part:
        (part / "sampler.onnx").write_bytes(b"half of it")
        raise KeyboardInterrupt


def test_an_export_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        half_written(tmp_path / "b")
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


def test_a_termination_that_native_code_swallowed_still_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_terminated", threading.Event())
    with (
        pytest.raises(SystemExit, match="143"),
        publish.published(tmp_path / "b"),
        contextlib.suppress(SystemExit),
    ):
        publish.terminate()
    assert not list(tmp_path.iterdir())
