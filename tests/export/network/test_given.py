"""What people give as a network, and what is taken for it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from diffkiln.export.network.fitted import fitted
from diffkiln.export.network.given import model_of
from diffkiln.trainer.errors import InputError

NOISY, TIME = np.ones((2, 8, 8, 3), np.float32), np.array([0.25, 0.5], np.float32)


def functional() -> keras.Model:
    noisy, time = keras.Input((8, 8, 3)), keras.Input(())
    return keras.Model([noisy, time], layers.Conv2D(3, 1)(noisy) * layers.Reshape((1, 1, 1))(time))


class Several(keras.Model):
    """Takes its inputs one by one, labels before the time."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.convolution = layers.Embedding(5, 3), layers.Conv2D(3, 1)

    def call(self, x: Any, labels: Any, t: Any) -> Any:
        rows = self.table(tf.add(labels, 1))[:, None, None, :]
        return self.convolution(x) * t[:, None, None, None] + rows


class InList(keras.Model):
    """Takes its inputs in a list, without telling training from inference."""

    def __init__(self, whole: bool = False) -> None:
        super().__init__()
        self.convolution, self.whole = layers.Conv2D(3, 1), whole

    def call(self, inputs: list[Any]) -> Any:
        noisy, time = inputs
        level = tf.gather(tf.range(10.0), time) if self.whole else time
        return self.convolution(noisy) * level[:, None, None, None]


class Diffusion(keras.Model):
    """Trains a network, as keras.io's example does."""

    def __init__(self, *, averaged: bool) -> None:
        super().__init__()
        self.network = functional()
        if averaged:
            self.ema_network = keras.models.clone_model(self.network)


def test_a_subclass_with_several_arguments_by_their_names() -> None:
    model, labels = Several(), np.array([3, -1])
    expected = model(NOISY, labels, TIME)
    own = fitted(model_of(model, classes=True), classes=4)
    assert own.roles == ("noisy", "labels", "condition")
    received = own([tf.constant(NOISY), tf.constant(TIME), tf.constant(labels)])
    np.testing.assert_allclose(received, expected, atol=1e-6)


@pytest.mark.parametrize("whole", [False, True])
def test_a_subclass_with_a_list(whole: bool) -> None:
    model, time = InList(whole), TIME * 8 if whole else TIME
    expected = model([NOISY, time.astype(np.int32) if whole else time])
    own = fitted(model_of(model), whole_condition=whole)
    assert own.takes_whole_condition == whole
    np.testing.assert_allclose(own([tf.constant(NOISY), tf.constant(time)]), expected, atol=1e-6)


class WithFeatures(InList):
    """Returns something else first."""

    def call(self, inputs: list[Any]) -> Any:
        prediction = super().call(inputs)
        return {"features": tf.reduce_mean(prediction, [1, 2]), "noise": prediction}


class LoopsOverImages(InList):
    """Counts its images in Python, which no graph can."""

    def call(self, inputs: list[Any]) -> Any:
        return tf.stack([self.convolution(inputs[0])[k] for k in range(inputs[0].shape[0])])


def test_the_prediction_may_be_one_of_several_outputs() -> None:
    model = WithFeatures()
    model([NOISY, TIME])
    assert fitted(model_of(model)).output == 1


def test_a_subclass_that_no_graph_can_hold() -> None:
    model = LoopsOverImages()
    model([NOISY, TIME])
    with pytest.raises(InputError, match="cannot be traced for any number of images"):
        model_of(model)


def test_averaged_weights_are_meant_where_a_model_has_them() -> None:
    model = Diffusion(averaged=True)
    assert model_of(model) is model.ema_network
    with pytest.raises(InputError, match="got Diffusion, which trains a network; give the network"):
        model_of(Diffusion(averaged=False))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Several, "got the class Several, expected a keras.Model .*; build a model of it first"),
        ("net.keras", "got the path net.keras, .*; load it with keras.models.load_model"),
        (Path("net"), "got the path net, "),
        (
            SimpleNamespace(state_dict=dict),
            "got a torch module .*; export it with torch.onnx.export",
        ),
        (InList(), "got InList, whose inputs are not known, since it was never called; call it"),
        (functional().call, "got method, expected a keras.Model .*; wrap yours in keras.Model"),
    ],
)
def test_anything_else_is_refused_with_what_to_give(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_of(given)


def test_a_saved_model_is_refused(tmp_path: Path) -> None:
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(InputError, match=r"got a SavedModel, .*; give the Keras model that it was"):
        model_of(tf.saved_model.load(str(tmp_path)))
