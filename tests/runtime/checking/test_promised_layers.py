"""The check follows all that the exporter writes for the layers of Keras that it takes."""

from collections.abc import Callable
from typing import Any

import keras
import onnx
import pytest
import tensorflow as tf
from keras import layers

from diffkiln.export.graphs.conversion import convert
from diffkiln.runtime.checking import Port, Signature, check, taken_operators

ops: Any = keras.ops  # whose results have no types
Layer = Callable[[Any], Any]


def attention(x: Any) -> Any:
    return layers.MultiHeadAttention(2, 4)(layers.Reshape((96, 8))(x), layers.Reshape((96, 8))(x))


def conditioned(x: Any) -> Any:
    """Scales and shifts by an embedding, as networks with classes do."""
    numbers = ops.cast(x[:, 0, 0, 0], "int32") % 3
    scale, shift = ops.split(layers.Embedding(3, 16)(numbers)[:, None, None], 2, axis=-1)
    return x * scale + shift


# By what they are for; each gets an image float32[N, 8, 12, 8].
LAYERS: dict[str, list[Layer]] = {
    "convolutions": [
        layers.Conv2D(8, 3, padding="same"),
        layers.Conv2D(8, 3, strides=2, padding="same", dilation_rate=1),
        layers.Conv2D(8, 3, dilation_rate=2),
        layers.Conv2D(8, 3, padding="same", groups=4),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.SeparableConv2D(8, 3, padding="same"),
        layers.Conv2DTranspose(8, 4, strides=2, padding="same"),
        layers.Conv2DTranspose(8, 3, strides=2, padding="valid"),
        lambda x: layers.Conv1D(8, 3)(layers.Reshape((96, 8))(x)),
        lambda x: layers.Conv2D(8, 3)(layers.ZeroPadding2D(3)(x)),
        lambda x: layers.Conv2D(8, 1)(layers.ZeroPadding2D(1)(x)),
        lambda x: layers.DepthwiseConv2D(2)(layers.ZeroPadding2D(2)(x)),
        lambda x: layers.MaxPooling2D(2)(layers.ZeroPadding2D(2)(x)),
    ],
    "products": [
        layers.Dense(4),
        layers.EinsumDense("abcd,de->abce", (8, 12, 4), bias_axes="e"),
        layers.EinsumDense("...x,xy->...y", (8, 12, 4)),
        lambda x: layers.Dot(axes=-1)([layers.Flatten()(x), layers.Flatten()(x)]),
        lambda x: ops.einsum("bhwc,bhwd->bcd", x, x),
        lambda x: ops.matmul(x, ops.transpose(x, (0, 1, 3, 2))),
        attention,
        lambda x: layers.Attention()([layers.Reshape((96, 8))(x)] * 2),
    ],
    "normalisations": [
        layers.BatchNormalization(),
        layers.GroupNormalization(4),
        layers.GroupNormalization(-1),
        layers.LayerNormalization(),
        layers.LayerNormalization(axis=(1, 2, 3)),  # type: ignore[arg-type]
        layers.UnitNormalization(),
        layers.Normalization(mean=0.5, variance=2.0),
        layers.SpectralNormalization(layers.Conv2D(8, 1)),
        layers.Rescaling(2.0, -1.0),
    ],
    "activations": [
        *(
            layers.Activation(name)
            for name in (
                *("relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"),
                *("softsign", "sigmoid", "hard_sigmoid", "hard_silu", "tanh", "exponential"),
                *("softmax", "log_softmax", "leaky_relu", "squareplus", "glu", "hard_tanh"),
            )
        ),
        layers.PReLU(shared_axes=(1, 2)),
        layers.LeakyReLU(),
        layers.Softmax(),
    ],
    "sizes": [
        layers.UpSampling2D(),
        layers.UpSampling2D(interpolation="bilinear"),
        *(layers.Resizing(5, 7, interpolation=kind) for kind in ("nearest", "bilinear", "bicubic")),
        layers.AveragePooling2D(2),
        layers.AveragePooling2D(3, strides=1, padding="same"),
        layers.MaxPooling2D(3, strides=2, padding="same"),
        layers.GlobalAveragePooling2D(),
        layers.GlobalMaxPooling2D(keepdims=True),
        layers.ZeroPadding2D((1, 2)),
        layers.Cropping2D((1, 2)),
        layers.Lambda(lambda x: tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "REFLECT")),
        layers.Lambda(lambda x: tf.nn.depth_to_space(x, 2)),
        layers.Lambda(lambda x: tf.nn.space_to_depth(x, 2)),
    ],
    "shapes": [
        layers.Reshape((96, 8)),
        layers.Reshape((-1, 2)),
        layers.Permute((3, 1, 2)),
        layers.Flatten(),
        lambda x: layers.RepeatVector(3)(layers.Flatten()(x)),
        lambda x: layers.Concatenate()([x, x]),
        lambda x: layers.Average()([layers.Maximum()([x, -x]), layers.Minimum()([x, -x])]),
        lambda x: layers.Multiply()([x, layers.Subtract()([x, x])]),
        lambda x: ops.roll(x, 1, axis=1),
        lambda x: ops.flip(x, axis=2),
        lambda x: ops.tile(x, (1, 2, 1, 1)),
        lambda x: ops.stack([x, x], axis=1),
        layers.Lambda(lambda x: tf.reshape(x, (tf.shape(x)[0], -1, tf.shape(x)[-1]))),
        layers.Lambda(lambda x: x + tf.cast(tf.range(tf.shape(x)[2])[:, None], tf.float32)),
        layers.Lambda(lambda x: x[:, ::2, 1:-1] * tf.ones_like(x[:, :1, :1])),
        layers.Lambda(lambda x: tf.where(x > 0, x, tf.zeros(tf.shape(x)))),
        layers.Lambda(lambda x: tf.broadcast_to(x[:1], tf.shape(x))),
        layers.Lambda(lambda x: tf.one_hot(tf.argmax(x, -1), 8)),
        lambda x: ops.cumsum(x, axis=1) + ops.std(x, axis=(1, 2), keepdims=True),
        lambda x: ops.clip(x, -1, 1) + ops.linalg.norm(x, axis=-1, keepdims=True),
        conditioned,
    ],
}


# The operators that tf2onnx writes for them, at least.
WALKED = {
    "convolutions": "Conv ConvTranspose Reshape Squeeze Transpose Unsqueeze",
    "products": "MatMul Mul Reshape Softmax Squeeze Transpose",
    "normalisations": "Conv InstanceNormalization Mul Reciprocal ReduceMean ReduceSum Sqrt Sub",
    "activations": "Clip Elu Erf Exp LeakyRelu LogSoftmax Max Min Neg Relu Selu Sigmoid Softmax "
    "Softplus Softsign Split Sqrt Tanh",
    "sizes": "AveragePool DepthToSpace MaxPool Pad ReduceMax ReduceMean Resize Slice SpaceToDepth",
    "shapes": "ArgMax Cast Concat ConstantOfShape CumSum Expand Gather Greater Less Max Mod "
    "Mul Neg Not ReduceSum Reshape ReverseSequence Shape Slice Split Squeeze Tile Unsqueeze",
}


def converted(kind: str) -> onnx.ModelProto:
    """A graph with all layers of a kind; its output is the mean of what they make, float32[N]."""
    image = keras.Input((8, 12, 8))
    model = keras.Model(image, [layer(image) for layer in LAYERS[kind]])

    def means(x: tf.Tensor) -> dict[str, tf.Tensor]:
        results = [tf.reduce_mean(y, list(range(1, len(y.shape)))) for y in model(x)]
        return {"means": tf.add_n(results)}

    spec = tf.TensorSpec([None, 8, 12, 8], tf.float32, "x")
    return convert(tf.function(means, input_signature=[spec]))


@pytest.mark.parametrize("kind", LAYERS)
def test_what_the_exporter_writes_is_followed(kind: str) -> None:
    content = converted(kind)
    model = content.graph
    batch = model.input[0].type.tensor_type.shape.dim[0].dim_param
    signature = Signature(
        (Port("x", "float32", (batch, 8, 12, 8)),),
        (Port("means", "float32", (model.output[0].type.tensor_type.shape.dim[0].dim_param,)),),
    )
    walked = {node.op_type for node in model.node}
    assert set(WALKED[kind].split()) <= walked <= taken_operators()
    facts = check(content.SerializeToString(), signature).tensors
    assert {name for node in model.node for name in node.output} <= set(facts)
