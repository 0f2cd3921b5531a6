"""Layers and operations convert to what TensorFlow computes, and the runtime takes it."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from converted_layers import IMAGE, Function, converted, require_alike, whole
from keras import layers

from diffkiln.export.graphs.conversion import convert
from diffkiln.trainer.errors import InputError

ops: Any = keras.ops  # whose results have no types


@pytest.mark.parametrize(
    "window",
    [
        layers.Conv2D(4, 3, padding="same", dilation_rate=2),
        layers.Conv2D(4, 4, strides=3, padding="same"),
        layers.DepthwiseConv2D(3, strides=2, padding="same"),
        layers.MaxPooling2D(3, strides=2, padding="same"),
        layers.AveragePooling2D(3, strides=2, padding="same"),
    ],
)
def test_windows_over_images_whose_size_tf2onnx_forgets(window: Function) -> None:
    require_alike(lambda x: window(tf.image.resize(x, (15, 20))))


@pytest.mark.parametrize("size", [(5, 7), (16, 24), (13, 19), (3, 30)])
@pytest.mark.parametrize(
    "method",
    [
        *("area", "bicubic", "bilinear", "gaussian", "lanczos3", "lanczos5"),
        *("mitchellcubic", "nearest"),
    ],
)
def test_resizing(method: str, size: tuple[int, int]) -> None:
    require_alike(lambda x: tf.image.resize(x, size, method))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.image.resize(x, (5, 7), "bilinear", antialias=True),
        lambda x: ops.image.resize(x, (5, 7), "bicubic", antialias=True),
        lambda x: tf.compat.v1.image.resize_bicubic(x, (13, 19)),
        lambda x: tf.compat.v1.image.resize_area(x, (13, 19), align_corners=True),
        layers.Resizing(5, 7, crop_to_aspect_ratio=True),
        layers.Resizing(5, 7, pad_to_aspect_ratio=True),
        layers.UpSampling2D((2, 3), interpolation="lanczos3"),
        lambda x: tf.raw_ops.ScaleAndTranslate(
            images=x, size=(5, 7), scale=(0.5, 0.6), translation=(0.3, 2.0)
        ),
    ],
    ids=["antialias", "cubic", "old", "corners", "crop", "pad", "upsampling", "translation"],
)
def test_other_resizing(function: Function) -> None:
    require_alike(function)


@pytest.mark.parametrize("mode", ["CONSTANT", "REFLECT", "SYMMETRIC"])
@pytest.mark.parametrize(
    "margins",
    [((1, 1), (1, 1), (0, 0)), ((1, 0), (0, 3), (0, 0)), ((0, 0), (2, 2), (1, 1))],
    ids=["of one", "of one side", "of channels"],
)
def test_padding(mode: Any, margins: tuple) -> None:
    require_alike(lambda x: tf.pad(x, ((0, 0), *margins), mode))


def test_padding_by_a_whole_image() -> None:
    require_alike(lambda x: tf.pad(x, ((0, 0), (8, 8), (0, 0), (0, 0)), "SYMMETRIC"))
    require_alike(lambda x: ops.pad(x, ((0, 0), (1, 2), (1, 3), (0, 0)), constant_values=-1.5))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "stride", "rate"), [(2, 2, 1), (3, 1, 1), (3, 2, 2), (1, 2, 1)])
def test_patches(size: int, stride: int, rate: int, padding: str) -> None:
    sizes, strides, rates = (1, size, size + 1, 1), (1, stride, stride, 1), (1, rate, rate, 1)
    require_alike(lambda x: tf.image.extract_patches(x, sizes, strides, rates, padding))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("kernel", "strides", "more"),
    [
        (2, 3, {}),
        (1, 2, {}),
        (2, 5, {}),
        ((1, 4), (2, 3), {}),
        (3, 2, {"output_padding": 1}),
        (3, 1, {"dilation_rate": 2}),
        (2, 3, {"data_format": "channels_first"}),
    ],
    ids=["small", "one", "smaller", "unequal", "output padding", "dilated", "channels first"],
)
def test_transposed_convolutions(kernel: Any, strides: Any, more: dict, padding: str) -> None:
    layer = layers.Conv2DTranspose(
        6, kernel, strides, padding, bias_initializer="random_normal", **more
    )
    require_alike(layer)


def test_transposed_convolutions_along_other_axes() -> None:
    require_alike(layers.Conv1DTranspose(6, 2, strides=3), (8, 4))
    require_alike(layers.Conv3DTranspose(3, 2, strides=3), (4, 4, 4, 2))


SCALE = tf.Variable(tf.fill([8], 0.5))


@tf.function(jit_compile=True)
def compiled(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.gelu(x) * SCALE + tf.reduce_mean(x, (1, 2), keepdims=True)


@tf.function
def calling(x: tf.Tensor) -> tf.Tensor:
    return compiled(tf.tanh(x)) + 1


@pytest.mark.parametrize("function", [compiled, calling])
def test_functions_that_xla_compiles(function: Function) -> None:
    require_alike(function)


def by_channel(function: Function) -> Function:
    """What maps channels, mapped over the first axis."""
    return lambda x: ops.transpose(function(ops.transpose(x, (3, 0, 1, 2))), (1, 2, 3, 0))


def doubled(x: Any) -> Any:
    return x * 2 + ops.mean(x)


@pytest.mark.parametrize(
    "function",
    [
        by_channel(lambda x: tf.map_fn(doubled, x)),
        by_channel(lambda x: ops.map(doubled, x)),
        by_channel(lambda x: tf.vectorized_map(doubled, x)),
        lambda x: tf.map_fn(doubled, x),
        lambda x: ops.vectorized_map(doubled, x),
        lambda x: ops.fori_loop(0, 3, lambda _, v: ops.tanh(v) * 2, x),
        lambda x: tf.while_loop(lambda i, _: i < 3, lambda i, v: (i + 1, v * 2), (0, x))[1],
        lambda x: ops.while_loop(lambda _: True, lambda v: v * 2, x, maximum_iterations=3),
    ],
    ids=["map_fn", "map", "vectorized", "images", "batch", "fori_loop", "while_loop", "at most"],
)
def test_loops_of_a_known_number_of_turns(function: Function) -> None:
    require_alike(function)


@pytest.mark.parametrize("layer", [layers.GRU, layers.LSTM, layers.SimpleRNN])
def test_recurrent_layers(layer: Any) -> None:
    require_alike(layer(4, return_sequences=True), (16, 8))


@pytest.mark.parametrize(
    "layer",
    [
        layers.IntegerLookup(vocabulary=[3, 1, 0, 7]),
        layers.IntegerLookup(vocabulary=[3, 9, 2, 7], num_oov_indices=3, mask_token=0),
        layers.IntegerLookup(vocabulary=[3, 1, 0, 7], invert=True),
    ],
    ids=["one", "several unknown", "inverted"],
)
def test_lookup(layer: Any) -> None:
    require_alike(lambda x: ops.cast(layer(whole(x)), "float32"))


def test_lookup_of_floats() -> None:
    pairs = tf.lookup.KeyValueTensorInitializer([1, 2, 3], [0.5, 0.25, 0.1], "int64", "float32")
    table = tf.lookup.StaticHashTable(pairs, -1.0)
    require_alike(lambda x: table.lookup(whole(x)))


def test_a_number_below_zero_is_in_no_row() -> None:
    signs = {"x": np.array([[-1.0, 0.0, 2.0]], np.float32)}
    (rows,) = converted(lambda x: ops.one_hot(ops.cast(x, "int32"), 3), (3,)).run(None, signs)
    np.testing.assert_array_equal(rows, [[[0, 0, 0], [1, 0, 0], [0, 0, 1]]])


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_categories(mode: str) -> None:
    bins = layers.Discretization(bin_boundaries=[-0.5, 0.0, 0.5], output_mode=mode)
    table = layers.IntegerLookup(vocabulary=[3, 1, 0, 7], output_mode=mode)
    classes = layers.CategoryEncoding(5, output_mode=mode)
    require_alike(lambda x: bins(x[:, 0, 0, :1]))
    require_alike(lambda x: table(whole(x[:, 0, 0, :1])))
    require_alike(lambda x: classes(whole(ops.clip(ops.abs(x[:, 0, 0, :1]), 0, 1), "int32")))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: tf.image.crop_and_resize(x, [[0, 0, 1, 1]], [0], (4, 4)), "operator Loop"),
        (lambda x: tf.math.cumprod(x, 1), "operator Loop, which the runtime does not take"),
        (
            lambda x: layers.StringLookup(vocabulary=["1"], name="words")(tf.as_string(x)),
            "LookupTableFindV2, for which ONNX has none",
        ),
        (lambda x: tf.nn.max_pool_with_argmax(x, 2, 2, "SAME")[0], "cannot be run: MaxPool"),
    ],
    ids=["crops", "products", "texts", "two outputs"],
)
def test_what_is_refused_is_a_layer_of_the_user(function: Function, expected: str) -> None:
    image = keras.Input(IMAGE)
    layer = layers.Lambda(function, name="mine", output_shape=(1,), dtype="float32")
    model = keras.Model(image, layer(image))
    specs = [tf.TensorSpec([None, *IMAGE], tf.float32, "x")]
    with pytest.raises(
        InputError, match=rf"^network: its layer mine(/words\S*)? .*{expected}"
    ) as caught:
        convert(tf.function(lambda x: {"y": model(x)}, input_signature=specs))
    # As tf2onnx calls what it adds.
    assert "__" not in str(caught.value)
