"""From what was given as a network to a Keras model whose inputs are known."""

import logging
import os
from typing import Any

import keras

from ...trainer.errors import InputError
from .subclasses import wrapped, wrapped_map

_LOG = logging.getLogger("diffkiln.export")

# What each takes; all but the network itself take one tensor.
_TAKEN = {"network": "noisy images and a condition", "decoder": "latents", "encoder": "images"}


def model_of(given: Any, *, role: str = "network", classes: bool = False) -> keras.Model:
    """The functional model that is meant: itself, its `ema_network`, or one around a subclass.

    A subclass of keras.Model must have been called once, so that its weights are there. With
    `classes` it takes labels too. The `role` is "network", "decoder" or "encoder". Raises
    InputError for anything else, with what to give instead.
    """
    _require_model(given, role)
    if role != "network":
        # A Sequential has no structure of inputs before it is part of another model.
        plain = isinstance(given, keras.Sequential) and given.built
        return keras.Model(given.inputs, given.outputs) if plain else _map_of(given, role)
    averaged = getattr(given, "ema_network", None)
    if isinstance(averaged, keras.Model):
        _LOG.info("network: takes ema_network, the averaged weights of this %s", _kind(given))
        return model_of(averaged, classes=classes)
    if getattr(given, "inputs", None):
        return given
    if isinstance(getattr(given, "network", None), keras.Model):
        raise InputError(
            f"network: got {_kind(given)}, which trains a network; give the network itself, "
            "model.network or the one with averaged weights"
        )
    return wrapped(given, classes=classes)


def _map_of(given: keras.Model, role: str) -> keras.Model:
    """The functional model of one tensor that is meant."""
    return given if getattr(given, "inputs", None) else wrapped_map(given, role, _TAKEN[role])


def _require_model(given: Any, role: str) -> None:
    """Raise InputError for what is no Keras model."""
    if isinstance(given, keras.Model):
        require_tensorflow()
        return
    if isinstance(given, type):
        received, remedy = f"the class {given.__name__}", "build a model of it first"
    elif isinstance(given, str | os.PathLike):
        received = f"the path {os.fspath(given)}"
        remedy = f"load it with keras.models.load_model, or give it to the command's --{role}"
    elif hasattr(given, "state_dict"):
        received = f"a torch module ({_kind(given)})"
        remedy = "export it with torch.onnx.export, and give the path of the .onnx file"
    elif hasattr(given, "signatures"):
        received, remedy = "a SavedModel", "give the Keras model that it was made from"
    elif type(given).__module__.partition(".")[0] == "tf_keras":
        received = f"a model of Keras 2 ({_kind(given)})"
        remedy = "build it with Keras 3 and give it the same weights"
    else:
        received, remedy = _kind(given), "wrap yours in keras.Model(inputs, outputs)"
    expected = f"expected a keras.Model of {_TAKEN[role]}, or the path of an .onnx file"
    raise InputError(f"{role}: got {received}, {expected}; {remedy}")


def require_tensorflow() -> None:
    """Raise InputError where Keras runs on another library."""
    if (backend := keras.backend.backend()) != "tensorflow":
        raise InputError(
            f"network: Keras runs on {backend}, expected TensorFlow; set KERAS_BACKEND=tensorflow, "
            "or export the network to an .onnx file and give its path"
        )


def _kind(given: Any) -> str:
    return type(given).__name__
