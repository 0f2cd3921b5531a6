"""Networks in half precision: what becomes float16, what does not, and what comes out."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from keras import layers, ops
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from small_models import small_network, with_random_weights

from diffkiln.export.graphs.conversion import convert
from diffkiln.export.graphs.rewriting.half_precision import half_precision
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.network.layers import PixelNorm
from diffkiln.trainer.network.unet import build_unet
from diffkiln.trainer.presets import preset_config

SIZE = 8


def flat_graph(network: keras.Model, dtype: str = "float32") -> onnx.ModelProto:
    """The graph of the network alone, as the exporter converts it."""
    noisy = tf.TensorSpec([None, *network.inputs[0].shape[1:]], tf.float32, "noisy")
    condition = tf.TensorSpec([None], dtype, "condition")
    return convert(
        tf.function(
            lambda noisy, condition: {"prediction": network([noisy, condition])},
            input_signature=[noisy, condition],
        )
    )


def hand_made(*nodes: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    """A model noisy [N, 1, 1, 1], condition [N] → prediction of these nodes."""
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "network",
        [
            helper.make_tensor_value_info("noisy", float32, ["N", 1, 1, 1]),
            helper.make_tensor_value_info("condition", float32, ["N"]),
        ],
        [helper.make_tensor_value_info("prediction", float32, ["N", 1, 1, 1])],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def node(operator: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], output, **attributes)


def run(model: onnx.ModelProto, noisy: np.ndarray, condition: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (prediction,) = session.run(None, {"noisy": noisy, "condition": condition})
    return np.asarray(prediction)


def run_rounding(model: onnx.ModelProto, noisy: np.ndarray, condition: np.ndarray) -> np.ndarray:
    """By ONNX's reference, which rounds after each operator; onnxruntime's CPU hardly does."""
    feeds = {"noisy": noisy, "condition": condition}
    (prediction,) = ReferenceEvaluator(model).run(None, feeds)
    return np.asarray(prediction)


def both(model: onnx.ModelProto, *feeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The predictions in float32 and in half precision."""
    return run(model, *feeds), run(half_precision(model), *feeds)


def noise(batch: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(batch).standard_normal((batch, size, size, 3)).astype(np.float32)


def check_close(expected: np.ndarray, output: np.ndarray) -> None:
    """Within 0.4% of the largest output.

    float16 rounds by up to one part in 2,048, 0.05%. Errors of neighbours are independent, so that
    some fifty operators one after another make a few such parts of them.
    """
    assert np.isfinite(output).all()
    np.testing.assert_allclose(output, expected, rtol=0, atol=0.004 * np.abs(expected).max())


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Element types of all values, by name."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.input, *graph.value_info, *graph.output)
    constants = {value.name: value.data_type for value in graph.initializer}
    return constants | {value.name: value.type.tensor_type.elem_type for value in values}


def operands(model: onnx.ModelProto, operator: str) -> set[int]:
    """Element types of all inputs of all nodes of one kind."""
    dtypes = types(model)
    nodes = [node for node in model.graph.node if node.op_type == operator]
    return {dtypes[name] for node in nodes for name in node.input if name}


@pytest.fixture(scope="module")
def tiny() -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The graph of the tiny preset's network, and its half."""
    graph = flat_graph(with_random_weights(build_unet(preset_config("tiny").network)))
    return graph, half_precision(graph)


Tiny = tuple[onnx.ModelProto, onnx.ModelProto]


def test_a_preset_predicts_the_same(tiny: Tiny) -> None:
    times = np.linspace(0, 1, 3, dtype=np.float32)
    check_close(*both(tiny[0], noise(3, preset_config("tiny").image_size), times))


def test_numbers_stay_close_where_every_operator_rounds() -> None:
    graph = flat_graph(small_network())
    feeds = noise(2), np.array([0.1, 0.9], np.float32)
    check_close(run(graph, *feeds), run_rounding(half_precision(graph), *feeds))


def test_the_file_is_half_as_large(tiny: Tiny) -> None:
    full, half = tiny
    assert half.ByteSize() < 0.55 * full.ByteSize()


def test_half_a_preset_is_a_valid_model_of_standard_operators(tiny: Tiny) -> None:
    _, half = tiny
    onnx.checker.check_model(half, full_check=True)
    assert [(used.domain, used.version) for used in half.opset_import] == [("", 18)]
    assert {node.domain for node in half.graph.node} == {""}


def test_a_preset_convolves_in_float16_and_normalises_in_float32(tiny: Tiny) -> None:
    _, half = tiny
    assert operands(half, "Conv") == {TensorProto.FLOAT16}
    for operator in ("Sin", "Cos", "Sqrt", "Reciprocal"):
        assert operands(half, operator) == {TensorProto.FLOAT}


def test_inputs_and_outputs_stay_as_they_are(tiny: Tiny) -> None:
    full, half = tiny
    assert list(half.graph.input) == list(full.graph.input)
    assert list(half.graph.output) == list(full.graph.output)


def test_nothing_is_rounded_between_nodes_in_float32(tiny: Tiny) -> None:
    _, half = tiny
    casts = {node.output[0] for node in half.graph.node if node.op_type == "Cast"}
    assert not [n for n in half.graph.node if n.op_type == "Cast" and n.input[0] in casts]
    assert len(casts) < 2.5 * sum(node.op_type == "ReduceMean" for node in half.graph.node)


def batch_normalised(x: Any) -> Any:
    # After the activation, where no convolution can take it in.
    normalised = layers.BatchNormalization()(ops.relu(layers.Conv2D(16, 3, padding="same")(x)))
    return layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(normalised))


def group_normalised(x: Any) -> Any:
    return ops.silu(layers.GroupNormalization(4)(layers.Conv2D(16, 3, padding="same")(x)))


def attentive(x: Any) -> Any:
    sequence = layers.Reshape((SIZE * SIZE, 16))(layers.Conv2D(16, 1)(x))
    attended = layers.MultiHeadAttention(2, 8)(sequence, sequence)
    return layers.Reshape((SIZE, SIZE, 16))(layers.LayerNormalization()(sequence + attended))


def resized(x: Any) -> Any:
    small = layers.AveragePooling2D(2)(layers.Conv2D(16, 3, padding="same")(x))
    upsampled = layers.UpSampling2D(2, interpolation="bilinear")(small)
    return layers.UpSampling2D(2)(small) + upsampled


@pytest.mark.parametrize("body", [batch_normalised, group_normalised, attentive, resized])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_layers_predict_the_same(body: Callable[[Any], Any], dtype: str) -> None:
    noisy, timestep = keras.Input((SIZE, SIZE, 3)), keras.Input((), dtype=dtype)
    if dtype == "float32":
        embedding = layers.Dense(16)(layers.Reshape((1,))(timestep) / 1000)
    else:
        embedding = layers.Embedding(1001, 16)(timestep)
    x = body(noisy) + layers.Reshape((1, 1, 16))(embedding)
    output = layers.Conv2D(3, 3, padding="same")(x)
    graph = flat_graph(with_random_weights(keras.Model([noisy, timestep], output)), dtype)
    check_close(*both(graph, noise(3), np.array([0, 500, 999]).astype(dtype)))
    assert operands(half_precision(graph), "Conv") == {TensorProto.FLOAT16}


def test_embedding_tables_are_halved() -> None:
    noisy, timestep = keras.Input((SIZE, SIZE, 3)), keras.Input((), dtype="int32")
    table = layers.Reshape((1, 1, 64))(layers.Embedding(1001, 64)(timestep))
    output = layers.Conv2D(3, 1)(layers.Conv2D(64, 1)(noisy) + table)
    graph = flat_graph(with_random_weights(keras.Model([noisy, timestep], output)), "int32")
    assert half_precision(graph).ByteSize() < 0.55 * graph.ByteSize()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_norms_take_what_float16_cannot_square(scale: float) -> None:
    noisy, time = keras.Input((SIZE, SIZE, 3)), keras.Input(())
    output = layers.Conv2D(3, 1)(PixelNorm()(layers.Rescaling(scale)(noisy)))
    graph = flat_graph(with_random_weights(keras.Model([noisy, time], output)))
    feeds = noise(2), np.zeros(2, np.float32)
    check_close(run(graph, *feeds), run_rounding(half_precision(graph), *feeds))


def test_group_normalisation_sums_whole_images_in_float32() -> None:
    noisy, time = keras.Input((SIZE, SIZE, 3)), keras.Input(())
    network = keras.Model([noisy, time], layers.Conv2D(3, 1)(group_normalised(noisy)))
    half = half_precision(flat_graph(with_random_weights(network)))
    assert operands(half, "InstanceNormalization") == {TensorProto.FLOAT}


TIMESTEPS = np.array([0, 512.3, 777, 999.5], np.float32)
ZEROS = np.zeros((4, 1, 1, 1), np.float32)


@pytest.mark.parametrize("weighted", ["Mul", "MatMul"])
def test_angles_of_timesteps_keep_their_digits(weighted: str) -> None:
    """float16's numbers near 1,000 are half a radian apart; learned frequencies stay exact, too."""
    graph = hand_made(
        node("Reshape", "condition column", "timesteps"),
        node(weighted, "timesteps frequency", "angle"),
        node("Sin", "angle", "sine"),
        node("Reshape", "sine image", "embedding"),
        node("Add", "noisy embedding", "prediction"),
        frequency=np.array([[0.77]], np.float32),
        column=np.array([-1, 1]),
        image=np.array([-1, 1, 1, 1]),
    )
    output = run(half_precision(graph), ZEROS, TIMESTEPS)
    # Half the distance of float16's numbers below 1.
    np.testing.assert_allclose(output.ravel(), np.sin(0.77 * TIMESTEPS), atol=2.0**-12 + 1e-4)


def test_a_constant_that_both_precisions_take_is_there_in_both() -> None:
    graph = hand_made(
        node("Mul", "condition constant", "angle"),
        node("Cos", "angle", "cosine"),
        node("Reshape", "cosine image", "embedding"),
        node("Mul", "noisy constant", "scaled"),
        node("Add", "scaled embedding", "prediction"),
        constant=np.array(0.777, np.float32),
        image=np.array([-1, 1, 1, 1]),
    )
    output = run(half_precision(graph), ZEROS, TIMESTEPS)
    expected = np.cos(np.float32(0.777) * TIMESTEPS)
    np.testing.assert_allclose(output.ravel(), expected, atol=2.0**-12 + 1e-4)


def test_bounds_beyond_float16_become_its_own() -> None:
    graph = hand_made(
        node("Clip", "noisy zero largest", "prediction"),
        zero=np.array(0, np.float32),
        largest=np.array(np.finfo(np.float32).max, np.float32),
    )
    noisy = np.array([-1, 0.5, 2, 60000], np.float32).reshape(4, 1, 1, 1)
    expected, output = both(graph, noisy, TIMESTEPS)
    np.testing.assert_array_equal(output, expected)


def test_weights_beyond_float16_are_refused_by_name() -> None:
    graph = hand_made(
        node("Mul", "noisy heavy", "prediction"), heavy=np.array([7e4, -1e5], np.float32)
    )
    with pytest.raises(InputError, match=r"weights heavy reach 100000, expected at most 65504"):
        half_precision(graph)


def test_the_given_graph_is_left_alone() -> None:
    graph = hand_made(node("Mul", "noisy two", "prediction"), two=np.array(2, np.float32))
    before = graph.SerializeToString()
    half_precision(graph)
    assert graph.SerializeToString() == before
