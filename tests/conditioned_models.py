"""A network with conditions of every kind, and its bundles."""

from pathlib import Path
from typing import Any

import keras
from keras import layers, ops
from small_models import PIXELS, with_random_weights

from diffkiln.export import Condition, export_bundle

SIZE, CLASSES = 8, ("rose", "lily")
# By name: what a picture is enlarged from, a sequence, a number of 0 to 9 and a vector.
CONDITIONS: dict[str, Any] = {
    "small": Condition("The picture to enlarge.", dtype="uint8", null=None),
    "text": Condition("An embedding of a text."),
    "age": Condition("How old.", maximum=9, null=3),
    "pose": "Where the camera is.",
}


def conditioned_network(*, classes: bool = False) -> keras.Model:
    """A convolution of noise and a small picture, to which all else is added."""
    noisy = keras.Input((SIZE, SIZE, 3), name="noisy")
    time = keras.Input((), name="time")
    small = keras.Input((SIZE // 2, SIZE // 2, 3), name="small")
    text, pose = keras.Input((5, 4), name="text"), keras.Input((6,), name="pose")
    age = keras.Input((), name="age", dtype="int32")
    inputs: Any = [text, noisy, age, time, small, pose]  # in no order that anybody could guess
    added: Any = layers.Dense(8)(ops.reshape(time, (-1, 1))) + layers.Dense(8)(pose)
    added = added + layers.Dense(8)(ops.mean(text, axis=1)) + layers.Embedding(10, 8)(age)
    if classes:
        inputs.insert(1, keras.Input((), name="labels", dtype="int64"))
        added = added + layers.Embedding(len(CLASSES) + 1, 8)(inputs[1] + 1)
    x = ops.concatenate([noisy, layers.UpSampling2D(2)(small)], axis=-1)
    x = ops.tanh(layers.Conv2D(8, 3, padding="same")(x) + ops.reshape(added, (-1, 1, 1, 8)))
    network = keras.Model(inputs, layers.Conv2D(3, 3, padding="same")(x))
    return with_random_weights(network)


def conditioned_bundle(bundle: Path, *, classes: bool = False, **settings: Any) -> Path:
    """A bundle of `conditioned_network`, of its sampler alone unless settings say more."""
    least = {"graphs": ("sampler",), "saved_model": False}
    named = {"class_names": CLASSES} if classes else {}
    network = conditioned_network(classes=classes)
    chosen = {**PIXELS, **least, **named, "conditions": CONDITIONS, **settings}
    export_bundle(network, bundle, **chosen)
    return bundle
