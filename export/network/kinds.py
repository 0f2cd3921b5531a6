"""The kinds of networks that can be exported, behind one interface: Keras models and ONNX files.

Both have `variables` and `count_params()`; what `fit` makes of them has `shape`,
`takes_whole_condition` and a call, and a `graph` unless TensorFlow has to be converted.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from ...trainer.errors import InputError
from ..checks import is_onnx
from ..model import Model
from ..options import Baking, Learning
from .fitted import FittedNetwork, fitted
from .given import model_of
from .onnx_file import OnnxFile, read_onnx
from .onnx_fitting import fitted_onnx
from .onnx_network import OnnxNetwork
from .precision import in_float32, rounded_weights

_LOG = logging.getLogger("diffkiln.export")

Network = keras.Model | OnnxFile


def network_of(given: Any, *, classes: bool) -> Network:
    """The Keras model that is meant, or the .onnx file at a path; InputError for anything else."""
    if isinstance(given, str | os.PathLike) and is_onnx(given):
        return read_onnx(Path(given))
    return model_of(given, classes=classes)


def computing(network: Network) -> contextlib.AbstractContextManager[None]:
    """Have a network compute as it is to be baked."""
    return contextlib.nullcontext() if isinstance(network, OnnxFile) else in_float32(network)


def as_stored(network: Network, baking: Baking) -> Network:
    """An ONNX file with its weights as they are to be stored; a Keras model as it is."""
    if isinstance(network, OnnxFile) and baking.weight_storage == "float16":
        return network.rounded()
    return network


@contextlib.contextmanager
def storing(network: Network, baking: Baking) -> Iterator[bool]:
    """Have a Keras model's weights as they are to be stored meanwhile, and whether that changes it.

    Raises InputError for weights beyond the range of float16.
    """
    changes = isinstance(network, keras.Model) and baking.weight_storage == "float16"
    with rounded_weights(network) if changes else contextlib.nullcontext():
        yield changes


def baking_of(network: Network, baking: Baking, learning: Learning | None) -> Baking:
    """How to bake a network: of an ONNX file there is no SavedModel.

    Raises InputError for learned tables, which need TensorFlow's gradients, and for LiteRT files,
    which TensorFlow makes.
    """
    if not isinstance(network, OnnxFile):
        return baking
    if baking.litert:
        raise InputError(
            f"network={network.path}: only Keras networks can become LiteRT files; leave litert out"
        )
    if learning is not None or baking.tables is not None:
        raise InputError(
            f"network={network.path}: only Keras networks can have learned tables; leave them out"
        )
    if baking.saved_model:
        _LOG.info("The bundle will have no SavedModel, because the network is an ONNX file")
    return replace(baking, saved_model=False)


def fit(
    network: Network, model: Model, *, learned_variance: bool = False
) -> FittedNetwork | OnnxNetwork:
    """A network behind the call that a sampler makes; InputError if it does not fit the model."""
    settings: Any = {
        "classes": len(model.class_names),
        "inputs": model.inputs,
        "image_size": model.size,
        "whole_condition": model.conditioning == "timestep",
        "learned_variance": learned_variance,
        "conditions": model.conditions,
        "pixels": (model.pixel_mean, model.pixel_std),
        "takes_guidance": model.guidance_range is not None,
    }
    if isinstance(network, OnnxFile):
        return fitted_onnx(network, **settings)
    return fitted(network, **settings)
