"""Saved weights: a run's average, and the weights with which another run begins."""

import itertools
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..config import NetworkConfig, TrainConfig
from ..errors import InputError
from ..network.networks import build_network
from .directory import RunDirectory
from .teacher import Teacher


def load_network(path: Path, config: NetworkConfig) -> keras.Model:
    """The network of these settings in float32, with the weights of a file of `save_weights`.

    Raises InputError unless the file holds exactly the weights of the network.
    """
    network = build_network(config)
    try:
        with warnings.catch_warnings():
            # Keras only warns of a file that lacks weights, and keeps random ones.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = " ".join(str(error).split())[:200]
        problem = f"does not hold the weights of this run's network ({reason})"
        raise InputError(f"{path}: {problem}; restore the file, or train again") from error
    return network


def initial_weights(source: Path, config: TrainConfig, network: keras.Model) -> list[np.ndarray]:
    """The weights of a bundle, or the averaged ones of a run, in the order of `network.weights`.

    Attention and classes that the run lacks get the weights of `network`, with which they do
    nothing at first. Raises InputError for a folder that is neither, or of another network.
    """
    if (source / "bundle.json").is_file():
        weights = _of_bundle(source, config, "init_from")
    elif (source / "config.json").is_file():
        weights = _of_run(source, config, network)
    else:
        problem = "holds neither config.json nor bundle.json"
        expected = "expected a run of diffkiln-train or a bundle"
        raise InputError(f"init_from={source}: {problem}; {expected}")
    shapes = [tuple(variable.shape) for variable in network.weights]
    numbers = sum(values.size for values in weights)
    received = f"its network has {len(weights)} weights of {numbers:,} numbers"
    expected = f"{len(shapes)} of {network.count_params():,} in the same order"
    _require([values.shape for values in weights] == shapes, source, received, expected)
    return weights


def check_initial_weights(source: Path, config: TrainConfig) -> None:
    """Raise InputError where `initial_weights` will, before a picture is read.

    If the pictures are to say how many channels there are, weights for either number are taken.
    """
    known = config.of_arrays or config.channels is not None
    refusals = []
    for channels in (config.channels,) if known else (3, 1):
        own = replace(config, channels=channels)
        try:
            initial_weights(source, own, build_network(own.network))
        except InputError as error:
            refusals.append(error)
        else:
            return
    raise refusals[0]


def teacher_network(teacher: Teacher) -> keras.Model:
    """The teacher's network in float32; InputError if its weights cannot be read."""
    source, config = teacher.source, teacher.config
    if not (source / "bundle.json").is_file():
        return load_network(RunDirectory(source).ema_weights, config.network)
    network, weights = build_network(config.network), _of_bundle(source, config, "distill_from")
    shapes = [tuple(variable.shape) for variable in network.weights]
    if [values.shape for values in weights] != shapes:
        received = f"its SavedModel has {len(weights)} weights"
        expected = f"the {len(shapes)} of the network that its record of the training describes"
        problem = f"{received}, expected {expected}; give its run, or another bundle"
        raise InputError(f"distill_from={source}: {problem}")
    network.set_weights(weights)
    return network


def matched(network: keras.Model, other: keras.Model) -> list[np.ndarray]:
    """The weights of `other`, in the order of `network.weights`; its own where there are none."""
    values = {variable.path: variable.numpy() for variable in other.weights}
    return [values.get(variable.path, variable.numpy()) for variable in network.weights]


def _of_run(source: Path, config: TrainConfig, network: keras.Model) -> list[np.ndarray]:
    run = RunDirectory(source)
    theirs, _ = run.read_config()
    its = theirs.network
    _require_prediction(source, theirs.prediction, config)
    _require(theirs.task == config.task, source, f"its task is {theirs.task}", config.task)
    # The same weights serve samples of every size and factor.
    lacking = (each for each in ("attention_heads", "num_classes") if not getattr(its, each))
    same = ("image_size", "array_shape", "factor", *lacking)
    fitting = replace(its, **{name: getattr(config, name) for name in same})
    _require(fitting == config.network, source, f"it was trained as {its}", config.network)
    run.require_weights("init_from")
    return matched(network, load_network(run.ema_weights, its))


def _of_bundle(source: Path, config: TrainConfig, setting: str) -> list[np.ndarray]:
    """The weights of a bundle's network; of a cascade's first. `setting` is what names it."""
    try:
        text = (source / "bundle.json").read_text(encoding="utf-8")
        model: dict[str, Any] = json.loads(text)["model"]
        prediction, conditioning = model["prediction"], model["conditioning"]
        parameters = model["parameters"]
        reader = tf.train.load_checkpoint(str(source / "saved_model" / "variables" / "variables"))
        count = sum("weights/" in name for name in reader.get_variable_to_shape_map())
        names = (f"weights/{index}/.ATTRIBUTES/VARIABLE_VALUE" for index in range(count))
        weights = [reader.get_tensor(name) for name in names]
    except (OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())[:200]
        problem = f"{setting}={source}: cannot be read as a bundle ({reason})"
        expected = "expected one that diffkiln-export wrote, with its saved_model"
        raise InputError(f"{problem}; {expected}") from error
    _require_prediction(source, prediction, config)
    _require(conditioning == "time", source, f"its conditioning is {conditioning}", "time")
    return _leading(weights, parameters)


def _leading(weights: list[np.ndarray], parameters: int) -> list[np.ndarray]:
    """The first weights, of so many numbers together; all of them if none fit.

    After those of its network, a SavedModel has those of a decoder, an encoder or a second stage.
    """
    totals = itertools.accumulate(values.size for values in weights)
    counts = (count for count, total in enumerate(totals, 1) if total == parameters)
    return weights[: next(counts, None)]


def _require_prediction(source: Path, prediction: Any, config: TrainConfig) -> None:
    expected = config.prediction
    _require(prediction == expected, source, f"its prediction is {prediction}", expected)


def _require(fits: bool, source: Path, received: str, expected: object) -> None:
    if not fits:
        remedy = "give the same settings of the network, or another folder"
        raise InputError(f"init_from={source}: {received}, expected {expected}; {remedy}")
