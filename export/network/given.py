"""From what was given as a network to a Keras model whose inputs are known."""

import logging
import os
from typing import Any

import keras

from ...trainer.errors import InputError
from .subclasses import wrapped

_LOG = logging.getLogger("diffkiln.export")

_EXPECTED = "expected a keras.Model of noisy images and a condition, or the path of an .onnx file"


def model_of(given: Any, *, classes: bool = False) -> keras.Model:
    """The functional model that is meant: itself, its `ema_network`, or one around a subclass.

    A subclass of keras.Model must have been called once, so that its weights are there. With
    `classes` it takes labels too. Raises InputError for anything else, with what to give instead.
    """
    _require_model(given)
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


def _require_model(given: Any) -> None:
    """Raise InputError for what is no Keras model."""
    if isinstance(given, keras.Model):
        require_tensorflow()
        return
    if isinstance(given, type):
        received, remedy = f"the class {given.__name__}", "build a model of it first"
    elif isinstance(given, str | os.PathLike):
        received = f"the path {os.fspath(given)}"
        remedy = "load it with keras.models.load_model, or give it to the command's --network"
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
    raise InputError(f"network: got {received}, {_EXPECTED}; {remedy}")


def require_tensorflow() -> None:
    """Raise InputError where Keras runs on another library."""
    if (backend := keras.backend.backend()) != "tensorflow":
        raise InputError(
            f"network: Keras runs on {backend}, expected TensorFlow; set KERAS_BACKEND=tensorflow, "
            "or export the network to an .onnx file and give its path"
        )


def _kind(given: Any) -> str:
    return type(given).__name__
