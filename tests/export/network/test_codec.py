"""Decoders and encoders that people have, and what is refused of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from onnx import helper, numpy_helper

from diffkiln.export.network.codec import Codec, fitted_codec, network_given
from diffkiln.export.network.places import CHANNELS_FIRST, CHANNELS_LAST
from diffkiln.trainer.errors import InputError

LATENT = (4, 8, 8)
RNG = np.random.default_rng(0)


class Subclassed(keras.Model):
    """A decoder that nobody wrote down as layers between inputs and outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.up = layers.Conv2DTranspose(3, 4, 4)

    def call(self, z: Any) -> Any:
        return self.up(z)


def called(model: keras.Model) -> keras.Model:
    model(np.zeros((1, 8, 8, 4), np.float32))
    return model


def enlarging() -> list[Any]:
    return [layers.UpSampling2D(4), layers.Conv2D(3, 3, padding="same")]


def codec_of(decoder: Any, encoder: Any = None, shape: tuple[int, ...] = LATENT) -> Codec:
    up = None if encoder is None else network_given("encoder", encoder)
    return fitted_codec(network_given("decoder", decoder), up, shape)


def predicted(fitted: Any, values: np.ndarray) -> np.ndarray:
    """What a decoder or an encoder makes of values."""
    return fitted.predict(values)


def of_structure(wrap: Callable[[Any], Any]) -> keras.Model:
    z = keras.Input((8, 8, 4), name="z")
    return keras.Model(wrap(z), wrap(layers.Conv2DTranspose(3, 4, 4)(z)))


@pytest.mark.parametrize(
    ("model", "wrap"),
    [
        (lambda _: called(Subclassed()), lambda z: z),
        (lambda _: called(keras.Sequential(enlarging())), lambda z: z),
        (lambda _: keras.Sequential([keras.Input((8, 8, 4)), *enlarging()]), lambda z: z),
        (of_structure, lambda z: {"z": z}),
        (of_structure, lambda z: [z]),
    ],
)
def test_a_decoder_may_be_any_model_of_one_tensor(
    model: Callable[..., keras.Model], wrap: Callable[[Any], Any]
) -> None:
    decoder = model(wrap)
    latents = RNG.normal(size=(2, 8, 8, 4)).astype(np.float32)
    (expected,) = keras.tree.flatten(decoder(wrap(latents)))
    received = predicted(codec_of(decoder, shape=(8, 8, 4)).decoder, latents)
    assert np.allclose(received, expected, atol=1e-6)


def permuting() -> tuple[keras.Model, keras.Model]:
    """RGBA images whose channels are those of latents, which come first."""
    latents, images = keras.Input(LATENT), keras.Input((32, 32, 4))
    large = layers.UpSampling2D(4)(layers.Permute((2, 3, 1))(latents))
    small = layers.Permute((3, 1, 2))(layers.AveragePooling2D(4)(images))
    return keras.Model(latents, large), keras.Model(images, small)


def test_rows_and_columns_are_where_latents_change_their_own_pixels() -> None:
    """The sizes 4 and 8 divide 32 too, as channels and rows of blocks would."""
    assert codec_of(*permuting()).places == CHANNELS_FIRST
    last = keras.Sequential([keras.Input((8, 8, 8)), layers.Conv2DTranspose(3, 4, 4)])
    assert codec_of(last, shape=(8, 8, 8)).places == CHANNELS_LAST


def blurring(shape: tuple[int, ...], norm: bool) -> keras.Model:
    """A decoder in which each latent changes pixels far from its own, or all of them."""
    stack: list[Any] = [keras.Input(shape), layers.UpSampling2D(8)]
    for _ in range(8):
        stack += [layers.Conv2D(8, 5, padding="same", activation="swish")]
        stack += [layers.GroupNormalization(2)] * norm
    return keras.Sequential([*stack, layers.Conv2D(3, 3, padding="same")])


def mixing(shape: tuple[int, ...]) -> keras.Model:
    """A decoder whose latents have no places at all."""
    mixed = [layers.Flatten(), layers.Dense(64), layers.Dense(64 * 64 * 3)]
    return keras.Sequential([keras.Input(shape), *mixed, layers.Reshape((64, 64, 3))])


@pytest.mark.parametrize("channels", [1, 2, 4, 8])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_channels_come_last_unless_it_is_clear(channels: int, seed: int) -> None:
    keras.utils.set_random_seed(seed)
    shape = (8, 8, channels)
    for decoder in (blurring(shape, norm=False), blurring(shape, norm=True), mixing(shape)):
        assert codec_of(decoder, shape=shape).places == CHANNELS_LAST
    first = keras.Input((channels, 8, 8))
    moved = blurring(shape, norm=True)(layers.Permute((2, 3, 1))(first))
    places = codec_of(keras.Model(first, moved), shape=(channels, 8, 8)).places
    assert places == CHANNELS_FIRST


def onnx_file(
    path: Path, nodes: list[onnx.NodeProto], ends: tuple[Any, Any], **constants: np.ndarray
) -> Path:
    """A file of x → y with an input and an output of these sizes."""
    dtype = helper.np_dtype_to_tensor_dtype(constants["w"].dtype)
    x, y = (
        helper.make_tensor_value_info(name, dtype, size)
        for name, size in zip("xy", ends, strict=True)
    )
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "file", [x], [y], weights)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def transposed_convolution(path: Path, batch: Any = "N") -> Path:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[4, 4])
    weights = RNG.normal(size=(4, 3, 4, 4)).astype(np.float32)
    return onnx_file(path, [node], ((batch, *LATENT), (batch, 3, 32, 32)), w=weights)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_resize_to_sizes_for_a_batch_of_one_takes_any(tmp_path: Path, mode: str) -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "", "sizes"], ["large"], mode=mode),
        helper.make_node("Conv", ["large", "w"], ["y"]),
    ]
    weights, sizes = RNG.normal(size=(3, 4, 1, 1)).astype(np.float32), np.array([1, 4, 29, 27])
    ends = (1, *LATENT), (1, 3, 29, 27)
    codec = codec_of(onnx_file(tmp_path / "d.onnx", nodes, ends, w=weights, sizes=sizes))
    # The check that the graph for any batch gives what the file does has passed.
    assert codec.image_shape == (29, 27, 3)


def test_an_onnx_decoder_may_take_float64(tmp_path: Path) -> None:
    weights = RNG.normal(size=(8, 3)).astype(np.float64)
    ends = ("N", *LATENT), ("N", 4, 8, 3)
    file = onnx_file(tmp_path / "d.onnx", [helper.make_node("MatMul", "xw", "y")], ends, w=weights)
    latents = RNG.normal(size=(2, *LATENT)).astype(np.float32)
    assert np.allclose(predicted(codec_of(file).decoder, latents), latents @ weights, atol=1e-5)


def test_mean_and_variance_may_share_the_first_axis(tmp_path: Path) -> None:
    weights = RNG.normal(size=(8, 3, 4, 4)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[4, 4])
    file = onnx_file(tmp_path / "e.onnx", [node], (("N", 3, 32, 32), ("N", 8, 8, 8)), w=weights)
    codec = codec_of(transposed_convolution(tmp_path / "d.onnx"), file)
    assert codec.places == CHANNELS_FIRST
    images = RNG.normal(size=(2, 32, 32, 3)).astype(np.float32)
    blocks = images.reshape(2, 8, 4, 8, 4, 3)
    expected = np.einsum("nyaxbc,dcab->ndyx", blocks, weights[:4])
    assert np.allclose(predicted(codec.encoder, images), expected, atol=1e-4)


def test_an_onnx_decoder_for_a_batch_of_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^decoder: is for a batch of 2; export it"):
        codec_of(transposed_convolution(tmp_path / "d.onnx", batch=2))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (5, r"^decoder: got int, expected a keras.Model of latents, or the path"),
        (Path("d.keras"), r"^decoder: got the path d.keras, .* to the command's --decoder"),
        (Path("none.onnx"), r"^decoder=none.onnx: no such file"),
        (Subclassed(), r"^decoder: got Subclassed, .* call it once on a batch of latents"),
        (permuting()[0], r"takes \[N, 4, 8, 8\], expected latents \[N, 8, 8, 4\], .* both with"),
    ],
)
def test_what_is_no_decoder_of_these_latents_is_refused(given: Any, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        codec_of(given, shape=(8, 8, 4))
