"""Networks of every form predict in the graph what they predict in Keras."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from small_models import run_onnx, small_exporter, with_random_weights

from diffkiln.export.checks import may_be_meant
from diffkiln.export.network.fitted import fitted
from diffkiln.export.network.precision import in_float32
from diffkiln.trainer.errors import InputError

RNG = np.random.default_rng(0)
# Five, since Keras takes a condition of as many images as channels or rows for a bias.
NOISY = RNG.normal(size=(5, 8, 6, 3)).astype(np.float32)
TIME = np.array([1.0, 0.5, 0.25, 0.75, 0.0], np.float32)


def network(
    condition: tuple[int, ...] = (1,),
    shape: tuple[Any, ...] = (8, 6, 3),
    outputs: int = 3,
    dtype: str | None = None,
) -> keras.Model:
    noisy, level = keras.Input(shape), keras.Input(condition, dtype=dtype)
    spread = level if len(condition) == 3 else layers.Reshape((1, 1, 1))(level)
    x = layers.Conv2D(8, 3, padding="same", activation="swish")(noisy) + layers.Conv2D(8, 1)(spread)
    return with_random_weights(keras.Model([noisy, level], layers.Conv2D(outputs, 1)(x)))


def predicted(model: keras.Model, *inputs: Any) -> Any:
    """What Keras predicts, of NOISY at TIME if no inputs are given, as float32."""
    function: Any = model.predict
    return function([*(inputs or (NOISY, TIME[:, None]))], verbose=0).astype(np.float32)


def baked(model: keras.Model, **settings: Any) -> np.ndarray:
    """The prediction of the baked denoiser, of NOISY at TIME."""
    labels = settings.pop("labels", None)
    settings = {"prediction": "image", "clip": False, **settings}
    graph = small_exporter(model, **settings).graph("denoiser")
    feeds = {"noisy": NOISY, "time": TIME}
    if labels is not None:
        feeds |= {"labels": np.array(labels), "guidance": np.array(1, np.float32)}
    return run_onnx(graph, **feeds)[0]


def assert_predicts(received: np.ndarray, expected: np.ndarray, atol: float = 1e-5) -> None:
    assert received.std() > 0.05
    np.testing.assert_allclose(received, expected, atol=atol)


@pytest.mark.parametrize("condition", [(), (1,), (1, 1), (1, 1, 1), (8, 6, 1)])
def test_conditions_of_every_shape(condition: tuple[int, ...]) -> None:
    model = network(condition)
    level = np.broadcast_to(TIME.reshape(5, *(1 for _ in condition)), (5, *condition))
    assert_predicts(baked(model), predicted(model, NOISY, level))


def test_inputs_of_a_dict_and_outputs_of_a_dict() -> None:
    noisy, level = keras.Input((8, 6, 3), name="x"), keras.Input((1,), name="a_time")
    x = layers.Conv2D(3, 3, padding="same")(noisy) * layers.Reshape((1, 1, 1))(level)
    outputs = {"score": layers.Conv2D(1, 1)(x), "eps": layers.Conv2D(3, 1)(x)}
    model = with_random_weights(keras.Model({"x": noisy, "a_time": level}, outputs))
    for layer in model.layers:
        layer.set_weights([10 * weights for weights in layer.get_weights()])
    expected = model({"x": NOISY, "a_time": TIME[:, None]})["eps"]
    assert_predicts(baked(model), expected)


def test_labels_before_the_condition_and_one_hot() -> None:
    noisy, level = keras.Input((8, 6, 3)), keras.Input((), name="t")
    one_hot = keras.Input((4,), name="labels")
    x = layers.Conv2D(8, 3, padding="same")(noisy) + layers.Reshape((1, 1, 8))(
        layers.Dense(8)(one_hot)
    )
    x = layers.Conv2D(3, 1)(ops.tanh(x)) * layers.Reshape((1, 1, 1))(level)
    model = with_random_weights(keras.Model([noisy, one_hot, level], x), seed=3)
    for layer in model.layers:
        layer.set_weights([5 * weights for weights in layer.get_weights()])
    rows = np.eye(5, dtype=np.float32)[[2, 4, 0, 1, 1], :4]  # the second of no class
    expected = predicted(model, NOISY, rows, TIME)
    assert_predicts(baked(model, labels=[2, -1, 0, 1, 1], class_names=list("abcd")), expected)


def test_a_learned_variance_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    model = network(outputs=6)
    with caplog.at_level("INFO", "diffkiln.export"):
        received = baked(model)
    assert_predicts(received, predicted(model)[..., :3])
    assert "uses the first 3, and takes the rest for a learned variance" in caplog.text


def test_any_size_is_baked_for_one() -> None:
    model = network(shape=(None, None, 3))
    with pytest.raises(InputError, match=r"images of any size; .* image_size=\(height, width\)"):
        fitted(model)
    assert_predicts(baked(model, image_size=(8, 6)), predicted(model))


def test_a_fixed_batch_is_freed() -> None:
    noisy, level = keras.Input(batch_shape=(5, 8, 6, 3)), keras.Input(batch_shape=(5, 1))
    x = layers.Conv2D(3, 3, padding="same")(noisy) + layers.Reshape((1, 1, 1))(level)
    model = with_random_weights(keras.Model([noisy, level], x))
    assert_predicts(baked(model), model([NOISY, TIME[:, None]]).numpy())


def test_channels_first() -> None:
    noisy, level = keras.Input((3, 8, 6)), keras.Input((1,))
    first: Any = {"data_format": "channels_first"}
    x = layers.Conv2D(8, 3, padding="same", **first)(noisy) + layers.Reshape((1, 1, 1))(level)
    x = layers.UpSampling2D(2, **first)(layers.AveragePooling2D(2, **first)(x))
    x = layers.Conv2D(3, 1, **first)(x)
    model = with_random_weights(keras.Model([noisy, level], x))
    expected = predicted(model, NOISY.transpose(0, 3, 1, 2), TIME[:, None])
    assert_predicts(baked(model), expected.transpose(0, 2, 3, 1))


@pytest.fixture(params=["mixed_float16", "float16", "mixed_bfloat16", "float64"])
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


def test_other_precisions_are_baked_in_float32(policy: str) -> None:
    model = network()
    with in_float32(model):
        received = baked(model)
    assert {layer.dtype_policy.name for layer in model.layers if layer.variables} == {policy}
    expected = predicted(model)
    assert_predicts(received, expected, {"float64": 1e-5, "mixed_bfloat16": 5e-2}.get(policy, 5e-3))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_inputs_and_outputs_of_other_types_are_cast(dtype: str) -> None:
    noisy, level = keras.Input((8, 6, 3), dtype=dtype), keras.Input((1,), dtype=dtype)
    x = layers.Conv2D(3, 3, padding="same")(noisy) + layers.Reshape((1, 1, 1))(level)
    model = with_random_weights(keras.Model([noisy, level], ops.cast(x, dtype)))
    expected = predicted(model, NOISY.astype(dtype), TIME[:, None].astype(dtype))
    assert_predicts(baked(model), expected, 5e-3 if dtype == "float16" else 1e-5)


def always_training(x: Any) -> Any:
    x = layers.BatchNormalization()(x, training=True)
    x = layers.RandomFlip()(layers.Dropout(0.5)(x, training=True))
    return 10 * layers.GaussianNoise(1.0)(x, training=True)


def test_what_predict_does_is_baked_whatever_the_layers_were_called_with() -> None:
    noisy, level = keras.Input((8, 6, 3)), keras.Input((1,))
    x = layers.Conv2D(8, 3, padding="same")(noisy) + layers.Reshape((1, 1, 1))(level)
    model = with_random_weights(
        keras.Model([noisy, level], layers.Conv2D(3, 1)(always_training(x)))
    )
    assert_predicts(baked(model), predicted(model))


# Keras reads variables through a signature that NumPy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_quantised_network_is_refused() -> None:
    noisy, level = keras.Input((8, 6, 3)), keras.Input((1,))
    model = keras.Model([noisy, level], layers.Dense(3)(noisy) + layers.Reshape((1, 1, 1))(level))
    next(each for each in model.layers if isinstance(each, layers.Dense)).quantize("int8")
    with pytest.raises(InputError, match=r"its layer dense.* is quantised \(int8\); export the"):
        in_float32(model).__enter__()


def test_a_mask_of_minus_infinity_may_be_a_weight() -> None:
    assert may_be_meant(np.array([[0, -np.inf], [0, 0]], np.float32))
    assert not may_be_meant(np.array([1, -np.inf], np.float32))
    assert not may_be_meant(np.array([0, np.nan], np.float32))


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (
            lambda: keras.Model([i := keras.Input((8, 6, 3), dtype="int32"), keras.Input(())], i),
            {},
            r"network: its images are int32\[N, 8, 6, 3\], which would round the noise",
        ),
        (
            lambda: network(dtype="int32"),
            {},
            "but only timesteps are whole numbers; expected conditioning=timestep",
        ),
        (lambda: network(outputs=4), {}, r"has outputs \[N, 8, 6, 4\], expected one that is the"),
        (network, {"image_size": (6, 8)}, r"image_size=\(6, 8\): the network takes images of"),
    ],
)
def test_what_would_draw_wrong_pictures_is_refused(make: Any, settings: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fitted(make(), **settings)
