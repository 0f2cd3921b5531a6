"""The kinds of networks that can be exported, behind one interface: Keras models and ONNX files.

Both have `variables` and `count_params()`; what `fit` makes of them has `shape`,
`takes_whole_condition` and a call, and a `graph` unless TensorFlow has to be converted.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from ...trainer.errors import InputError
from ..checks import is_onnx
from ..model import Model
from ..options import Baking, Learning
from .codec import blamed
from .fitted import FittedNetwork, fitted
from .given import model_of
from .onnx_file import OnnxFile, read_onnx
from .onnx_fitting import fitted_onnx
from .onnx_network import OnnxNetwork
from .precision import in_float32, rounded_weights

_LOG = logging.getLogger("diffkiln.export")

Network = keras.Model | OnnxFile

_ROLES = ("network", "decoder", "encoder")


def network_of(given: Any, *, classes: bool) -> Network:
    """The Keras model that is meant, or the .onnx file at a path; InputError for anything else."""
    if isinstance(given, str | os.PathLike) and is_onnx(given):
        return read_onnx(Path(given))
    return model_of(given, classes=classes)


@contextlib.contextmanager
def computing(networks: Sequence[Network]) -> Iterator[None]:
    """Have a network, and perhaps a decoder and an encoder, compute as they are to be baked."""
    with contextlib.ExitStack() as stack:
        for role, network in zip(_ROLES, networks, strict=False):
            if isinstance(network, keras.Model):
                with blamed(role):
                    stack.enter_context(in_float32(network))
        yield


def as_stored(network: Network, baking: Baking) -> Network:
    """An ONNX file with its weights as they are to be stored; a Keras model as it is."""
    if isinstance(network, OnnxFile) and baking.weight_storage == "float16":
        return network.rounded()
    return network


@contextlib.contextmanager
def storing(networks: Sequence[Network], baking: Baking) -> Iterator[bool]:
    """Have Keras models' weights as they are to be stored meanwhile, and whether that changes any.

    Raises InputError for weights beyond the range of float16.
    """
    changed = [each for each in networks if isinstance(each, keras.Model)]
    changed = changed if baking.weight_storage == "float16" else []
    with contextlib.ExitStack() as stack:
        for network in changed:
            stack.enter_context(rounded_weights(network))
        yield bool(changed)


def baking_of(networks: Sequence[Network], baking: Baking, learning: Learning | None) -> Baking:
    """How to bake a network, and perhaps its decoder and encoder: of ONNX files, no SavedModel.

    Raises InputError for LiteRT files, which TensorFlow makes, and for learned tables, which need
    the gradients of the network. A decoder follows all steps, so that it may be an ONNX file there.
    """
    roles = zip(_ROLES, networks, strict=False)
    files = {role: each for role, each in roles if isinstance(each, OnnxFile)}
    for role, each in files.items():
        if baking.litert:
            problem = "only Keras networks can become LiteRT files; leave litert out"
            raise InputError(f"{role}={each.path}: {problem}")
        if role == _ROLES[0] and (learning is not None or baking.tables is not None):
            problem = "only Keras networks can have learned tables; leave them out"
            raise InputError(f"{role}={each.path}: {problem}")
    if files and baking.saved_model:
        kind = "is an ONNX file" if len(files) == 1 else "are ONNX files"
        named = " and ".join(f"the {role}" for role in files)
        _LOG.info("The bundle will have no SavedModel, because %s %s", named, kind)
    return replace(baking, saved_model=baking.saved_model and not files)


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
        "pixels": model.pixel_statistics,
        "takes_guidance": model.guidance_range is not None,
        "arrays": model.is_of_arrays,
    }
    if isinstance(network, OnnxFile):
        return fitted_onnx(network, **settings)
    return fitted(network, **settings)
