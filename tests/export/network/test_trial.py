"""Networks that would draw wrong pictures are found by calling them."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers, ops
from small_models import small_exporter

from diffkiln.export.network.trial import try_out
from diffkiln.trainer.errors import InputError
from diffkiln.trainer.maths.schedules import ddpm_linear

NAMES = list("abcd")


def tried(network: keras.Model, **settings: Any) -> None:
    """Try a network out as an export does."""
    signatures = small_exporter(network, **settings).signatures
    function = signatures.network
    calling = signatures.with_network(lambda inputs: function(*inputs)["prediction"])
    try_out(calling.sampling, signatures.shape)


def network(change: Callable[[Any], Any] = lambda x: x) -> keras.Model:
    noisy, time = keras.Input((8, 8, 3)), keras.Input((1,))
    x = layers.Conv2D(3, 3, padding="same")(noisy) + layers.Reshape((1, 1, 1))(time)
    return keras.Model([noisy, time], change(x))


def labelled(rows: int, shift: int = 0) -> keras.Model:
    noisy, time, label = keras.Input((8, 8, 3)), keras.Input(()), keras.Input((), dtype="int32")
    row = layers.Reshape((1, 1, 3))(layers.Embedding(rows, 3)(ops.add(label, shift)))
    x = layers.Conv2D(3, 1)(noisy) + row + layers.Reshape((1, 1, 1))(time)
    return keras.Model([noisy, time, label], x)


def embedded(rows: int) -> keras.Model:
    noisy, step = keras.Input((8, 8, 3)), keras.Input((), dtype="int32")
    row = layers.Reshape((1, 1, 3))(layers.Embedding(rows, 3)(step))
    return keras.Model([noisy, step], layers.Conv2D(3, 1)(noisy) + row)


@pytest.mark.parametrize(("rows", "shift"), [(5, 1), (5, 0), (9, 1)])
def test_a_row_for_no_class_may_be_the_first_or_the_last(rows: int, shift: int) -> None:
    tried(labelled(rows, shift), class_names=NAMES)


@pytest.mark.parametrize(("rows", "label"), [(4, 3), (6, 5), (1000, 999)])
def test_no_class_must_not_be_a_class(rows: int, label: int) -> None:
    """Not even one that has no name, of a network that knows more."""
    named = rf"treats the label -1 \(no class\) as class {label}, .* 5 rows"
    with pytest.raises(InputError, match=named):
        tried(labelled(rows), class_names=NAMES)


def test_a_table_with_too_few_classes() -> None:
    with pytest.raises(InputError, match=r"class_names: got 4 names, .* \(.*indices.* not in \[0"):
        tried(labelled(3, 1), class_names=NAMES)


def test_labels_without_effect_are_only_said(caplog: pytest.LogCaptureFixture) -> None:
    model = labelled(4)
    (table,) = [layer for layer in model.layers if isinstance(layer, layers.Embedding)]
    table.set_weights([0 * weights for weights in table.get_weights()])
    tried(model, class_names=NAMES)
    assert "labels change nothing" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x - ops.mean(x, axis=0, keepdims=True),
        lambda x: x / ops.max(ops.abs(x)),
        lambda x: ops.cumsum(x, axis=0),
    ],
)
def test_images_must_not_depend_on_their_batch(change: Callable[[Any], Any]) -> None:
    with pytest.raises(InputError, match=r"changes by .*% with the other images of the batch"):
        tried(network(change))


def test_a_table_of_timesteps_from_0() -> None:
    settings = {"schedule": ddpm_linear(), "conditioning": "timestep"}
    with pytest.raises(InputError, match=r"cannot take the timestep 1000 .* first_timestep=0"):
        tried(embedded(1000), **settings)
    tried(embedded(1001), **settings)


def test_a_prediction_that_is_no_number() -> None:
    with pytest.raises(InputError, match="its prediction at time 1 is not finite"):
        tried(network(lambda x: x / ops.zeros_like(x)))
    noisy, time = keras.Input((8, 8, 3)), keras.Input((1, 1, 1))
    model = keras.Model([noisy, time], layers.Conv2D(3, 1)(noisy) + ops.log(time))
    tried(model)
    with pytest.raises(InputError, match=r"at time 0 is not finite, .* time_grid=linear"):
        tried(model, time_grid="linspace")


@pytest.mark.slow
def test_channels_first_without_onednn_are_explained() -> None:
    program = """
import keras
from diffkiln.export import export_bundle
noisy, time = keras.Input((3, 8, 8)), keras.Input((1,))
x = keras.layers.Conv2D(3, 3, padding="same", data_format="channels_first")(noisy)
network = keras.Model([noisy, time], x + keras.layers.Reshape((1, 1, 1))(time))
export_bundle(network, "bundle", pixel_mean=0.5, pixel_std=0.25)
"""
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert "set TF_ENABLE_ONEDNN_OPTS=1 before it is imported" in done.stderr.splitlines()[-1]
