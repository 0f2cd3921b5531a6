"""Bundles of latent models: a decoder after the loop, and an encoder before what takes images."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from latent_models import (
    FACTOR,
    LATENTS,
    SHAPE,
    averaging_encoder,
    convolutional_decoder,
    repeating_decoder,
)
from onnx import TensorProto, helper, numpy_helper
from small_models import array_network, run_onnx, small_exporter

from diffkiln.export import Condition, export_bundle
from diffkiln.export.verify import verify_bundle
from diffkiln.runtime import Sampler
from diffkiln.runtime.checking import GraphError, Port, Signature, check
from diffkiln.runtime.errors import BundleError
from diffkiln.trainer.errors import InputError

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {**LATENTS, "prediction": "velocity"}
SMALL: dict[str, Any] = {"graphs": ("sampler",), "saved_model": False}
IMAGES = ("inpaint", "edit", "encode")
# Rounding may fall to either side of a level where numbers are added in another order.
LEVEL = 1


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latents") / "bundle"
    networks = {"decoder": repeating_decoder(), "encoder": averaging_encoder()}
    graphs = ("sampler", "from_noise", "denoiser", "noise", "step", *IMAGES)
    export_bundle(array_network(SHAPE), folder, **networks, **SETTINGS, graphs=graphs, litert=True)
    return folder


@pytest.fixture
def sampler(bundle: Path) -> Sampler:
    return Sampler(bundle, device="cpu")


def apart(some: np.ndarray, others: np.ndarray) -> int:
    return int(np.abs(some.astype(int) - others).max())


def test_the_decoder_draws_the_latents_of_the_same_model(tmp_path: Path, sampler: Sampler) -> None:
    alone = {"mean": LATENTS["mean"], "std": LATENTS["std"], "prediction": "velocity"}
    export_bundle(array_network(SHAPE), tmp_path / "latents", **alone, **SMALL)
    latents = Sampler(tmp_path / "latents", device="cpu").sample(3, seed=5, steps=6)
    pixels = np.clip(latents * 0.25 + 0.5, 0, 1).repeat(FACTOR, axis=1).repeat(FACTOR, axis=2)
    assert apart(sampler.sample(3, seed=5, steps=6), np.rint(255 * pixels)) <= LEVEL


def test_the_manifest_has_images_and_latents(bundle: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert (manifest["format_version"], manifest["image"]["height"]) == (5, 16)
    assert manifest["latent"] == {"shape": [*SHAPE], "mean": [0.1] * 3, "std": [1.5] * 3}
    assert {"decoder", "encoder"} <= manifest["graphs"].keys()
    names = manifest["certificate"]["to_reference"]
    assert {"decoder.onnx", "encoder.onnx", "decoder.tflite", "saved_model decode"} <= names.keys()


def test_every_form_is_proved_again(bundle: Path) -> None:
    assert verify_bundle(bundle).unit is None


def test_the_decoder_is_evaluated_once_after_the_loop() -> None:
    codec = (convolutional_decoder(), None)
    graph = small_exporter(array_network(SHAPE), codec=codec, **SETTINGS).graph("sampler").graph
    (loop,) = (node for node in graph.node if node.op_type == "Loop")
    assert [node.op_type for node in graph.node].count("ConvTranspose") == 1
    body = helper.get_node_attr_value(loop, "body")
    assert all(node.op_type != "ConvTranspose" for node in body.node)


def test_single_steps_make_latents_that_the_decoder_draws(sampler: Sampler) -> None:
    images = sampler.sample(3, steps=4)
    assert sampler.bundle.noise_shape == SHAPE
    assert apart(dict(sampler.stepwise(3, steps=4))[3], images) <= LEVEL
    frames = sampler.trajectory(3, steps=4)
    assert (frames.shape, frames.dtype) == ((4, 3, 16, 16, 3), np.uint8)


def test_images_are_encoded_and_drawn_again(sampler: Sampler) -> None:
    images = sampler.sample(3, steps=50)
    noise = sampler.encode(images, steps=50)
    assert noise.shape == (3, *SHAPE)
    # DDIM's inversion is not exact, and pixels were rounded.
    assert apart(sampler.from_noise(noise, steps=50), images) <= 16


def test_pixels_outside_a_mask_stay(sampler: Sampler) -> None:
    images, mask = sampler.sample(2, steps=4), np.zeros((16, 16), np.uint8)
    mask[3:, 9:] = 1
    painted = sampler.inpaint(images, mask, seed=7, steps=4)
    assert np.array_equal(painted[:, mask == 0], images[:, mask == 0])
    assert not np.array_equal(painted[:, 3:, 9:], images[:, 3:, 9:])


def test_an_edit_that_begins_late_changes_little(sampler: Sampler) -> None:
    images = sampler.sample(2, steps=20)
    little, much = (sampler.edit(images, part, seed=9, steps=20) for part in (0.05, 1.0))
    changes = [float(np.abs(each.astype(int) - images).mean()) for each in (little, much)]
    assert changes[0] < 0.5 * changes[1]


def test_latents_enlarge_nothing(sampler: Sampler) -> None:
    with pytest.raises(BundleError, match="draws pictures of latents, and enlarges none"):
        sampler.upscale(np.zeros((1, 4, 4, 3), np.uint8))


def onnx_decoder(path: Path) -> Path:
    """A transposed convolution of channels first, as PyTorch exports it, for a batch of one."""
    weights = np.random.default_rng(0).normal(0, 0.3, (3, 3, 4, 4)).astype(np.float32)
    node = helper.make_node("ConvTranspose", ["z", "w"], ["image"], strides=[4, 4])
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 3, 4, 4])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])
    constants = [numpy_helper.from_array(weights, "w")]
    graph = helper.make_graph([node], "decoder", [z], [image], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_a_decoder_from_onnx_has_channels_first(tmp_path: Path) -> None:
    file = onnx_decoder(tmp_path / "decoder.onnx")
    network = array_network((3, 4, 4))  # as latents are in PyTorch
    export_bundle(network, tmp_path / "b", decoder=file, **SETTINGS, graphs=("sampler", "decoder"))
    latents = np.random.default_rng(1).normal(size=(2, 3, 4, 4)).astype(np.float32)
    (images,) = run_onnx(tmp_path / "b" / "decoder.onnx", latents=latents)
    expected = [run_onnx(file, z=each[np.newaxis])[0][0] for each in latents]
    pixels = np.clip(np.stack(expected).transpose(0, 2, 3, 1) * 0.25 + 0.5, 0, 1)
    assert apart(images, np.rint(255 * pixels)) <= LEVEL


@pytest.mark.parametrize(
    "settings",
    [
        {"image_dtype": "float32"},
        {"weight_storage": "float16"},
        {"precision": "float16"},
        {"unroll_steps": 2, "batch_size": 1},
        {"eta": 1.0},
        {"solver": "dpmpp_2m"},
    ],
)
def test_other_settings_are_baked_too(tmp_path: Path, settings: dict[str, Any]) -> None:
    given = {**SETTINGS, **SMALL, **settings}
    export_bundle(array_network(SHAPE), tmp_path / "b", decoder=convolutional_decoder(), **given)
    with Sampler(tmp_path / "b", device="cpu") as sampler:
        images = sampler.sample(1)
    assert (images.shape, images.dtype) == ((1, 16, 16, 3), settings.get("image_dtype", "uint8"))


def sketched_network(channels: int) -> keras.Model:
    """A network of latents [4, 4, 4] that sees a sketch of so many channels."""
    noisy, time = keras.Input((4, 4, 4), name="noisy"), keras.Input((), name="time")
    sketch = keras.Input((4, 4, channels), name="sketch")
    x = layers.Conv2D(4, 1)(layers.Concatenate()([noisy, sketch]))
    return keras.Model([noisy, time, sketch], x + layers.Reshape((1, 1, 1))(time))


@pytest.mark.parametrize(
    ("channels", "mean", "expected"),
    [(3, (0.5, 0.4, 0.3), [0.5, 0.4, 0.3]), (3, 0.5, [0.5] * 3), (1, 0.5, [0.5])],
)
def test_pixels_of_conditions_have_the_statistics_of_the_images(
    tmp_path: Path, channels: int, mean: Any, expected: list[float]
) -> None:
    """Not those of the latents, of which there are four."""
    settings: dict[str, Any] = {**SMALL, "mean": 0.2, "std": 1.7, "prediction": "velocity"}
    sketch = {"sketch": Condition(dtype="uint8", null=None)}
    pixels: dict[str, Any] = {"pixel_mean": mean, "pixel_std": 0.3, "conditions": sketch}
    decoder = other_decoder((4, 4, 4), 3)
    network = sketched_network(channels)
    export_bundle(network, tmp_path / "b", decoder=decoder, **settings, **pixels)
    (entry,) = json.loads((tmp_path / "b/bundle.json").read_text())["conditions"]
    assert (entry["pixel_mean"], entry["pixel_std"]) == (expected, [0.3] * channels)


def wide_decoder(shape: tuple[int, int, int]) -> keras.Model:
    """Three doublings, with as many channels at the end as decoders of pictures have."""
    x = latents = keras.Input(shape)
    for width in (64, 64, 128):
        x = layers.UpSampling2D()(layers.Conv2D(width, 3, padding="same", activation="silu")(x))
    return keras.Model(latents, layers.Conv2D(3, 3, padding="same")(x))


def test_large_pictures_of_latents_are_within_the_limits() -> None:
    codec, shape = (wide_decoder((64, 64, 4)), None), (64, 64, 4)
    model = small_exporter(array_network(shape), codec=codec, **SETTINGS).graph("sampler")
    inputs = (Port("seeds", "int64", ("N",)), Port("steps", "int64", ()))
    output = Port("images", "uint8", ("N", 512, 512, 3))
    check(model.SerializeToString(), Signature(inputs, (output,)))


def attentive_network(shape: tuple[int, int, int]) -> keras.Model:
    """Eight heads of attention over all places of the latents."""
    noisy, time = keras.Input(shape, name="noisy"), keras.Input((), name="time")
    tokens = layers.Reshape((shape[0] * shape[1], shape[2]))(noisy)
    tokens = layers.Dense(16)(tokens) + layers.Dense(16)(layers.Reshape((1, 1))(time))
    tokens = layers.MultiHeadAttention(8, 2)(tokens, tokens)
    return keras.Model([noisy, time], layers.Reshape(shape)(layers.Dense(shape[2])(tokens)))


def test_steps_to_latents_may_take_what_the_pictures_would() -> None:
    codec, shape = (wide_decoder((64, 64, 4)), None), (64, 64, 4)
    exporter = small_exporter(attentive_network(shape), codec=codec, **SETTINGS)
    graph = exporter.graph("step")
    ports = [tuple(map(port, values)) for values in (graph.graph.input, graph.graph.output)]
    content, signature = graph.SerializeToString(), Signature(*ports)
    check(content, signature, 512 * 512 * 3)
    with pytest.raises(GraphError, match="bytes of tensors for one image"):
        check(content, signature)


def port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    sizes = tuple(size.dim_param or size.dim_value for size in tensor.shape.dim)
    return Port(value.name, helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, sizes)


def encoder_of(latents: tuple[int, ...]) -> keras.Model:
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(latents[-1], FACTOR, strides=FACTOR)(images)
    return keras.Model(images, x)


class Reparametrized(layers.Layer):
    """Draws latents around their mean, as encoders do during training."""

    def call(self, mean: Any) -> Any:
        return mean + keras.random.normal(keras.ops.shape(mean))


def drawing_encoder() -> keras.Model:
    mean = encoder_of(SHAPE)
    return keras.Model(mean.input, Reparametrized()(mean.output))


def other_decoder(taken: tuple[int, ...], channels: int) -> keras.Model:
    latents = keras.Input(taken)
    return keras.Model(latents, layers.Conv2DTranspose(channels, 4, 4)(latents))


def spoiled_decoder() -> keras.Model:
    decoder = other_decoder(SHAPE, 3)
    decoder.set_weights([np.full_like(weights, np.nan) for weights in decoder.get_weights()])
    return decoder


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"decoder": other_decoder((8, 8, 3), 3)},
            r"decoder: takes \[N, 8, 8, 3\], expected latents \[N, 4, 4, 3\]",
        ),
        (
            {"decoder": other_decoder(SHAPE, 7)},
            r"decoder: gives \[N, 16, 16, 7\], expected one image",
        ),
        ({"decoder": spoiled_decoder()}, r"^decoder: its weight .*kernel is not finite"),
        ({"decoder": None}, "decoder: missing, but the model has statistics of latents"),
        ({"decoder": None, "encoder": averaging_encoder()}, "encoder: is for a latent model"),
        ({"encoder": encoder_of((4, 4, 5))}, r"encoder: gives \[N, 4, 4, 5\], expected one that"),
        ({"encoder": drawing_encoder()}, r"encoder: .* the same changes by .* from call to call"),
        ({"encoder": repeating_decoder()}, r"encoder: takes \[N, 4, 4, 3\], expected images"),
        ({"decoder": array_network(SHAPE)}, r"decoder: takes .* and \[N\], expected one input"),
        ({"pixel_mean": None}, "got mean, pixel_std, std; expected"),
        ({"pixel_mean": None, "pixel_std": None}, "decoder: is for a network of latents; give"),
        ({"mean": None, "std": None}, "decoder: is for a network of latents; give"),
        ({"graphs": ("sampler", "edit")}, "graphs=edit: begins with images; give the encoder"),
        ({"graphs": ("sampler", "trajectory")}, "graphs=trajectory: would evaluate the decoder"),
        ({"clip": True}, "clip=True: is for images"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    given = {"decoder": repeating_decoder(), **SETTINGS, **SMALL, **changes}
    with pytest.raises(InputError, match=expected) as caught:
        export_bundle(array_network(SHAPE), tmp_path / "b", **given)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
