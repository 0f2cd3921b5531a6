"""Subclasses of keras.Model, whose inputs nobody wrote down, as functional models."""

import inspect
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from ...trainer.errors import InputError
from .causes import cause

_WRAP = "wrap it in keras.Model(inputs, model(*inputs)), with keras.Input for each"
_SHAPES = ((), (1,), (1, 1, 1))
_DTYPES = ("float32", "int32")

# What a call takes, each a keras.Input or a list or dict of them.
Inputs = list[Any]


def wrapped(model: keras.Model, *, classes: bool) -> keras.Model:
    """A functional model around a subclass that was called before, with its arguments' names.

    Raises InputError where it cannot be called, or in several ways with different results.
    """
    shapes: Mapping[str, Any] = model._build_shapes_dict or {}
    if not model.built or not shapes:
        raise InputError(
            f"network: got {type(model).__name__}, whose inputs are not known, since it was never "
            "called; call it once on a batch of images with their conditions, then export it"
        )
    shape = next(iter(shapes.values()))
    if isinstance(shape, Mapping) or any(isinstance(each, list | tuple) for each in shape):
        ways = ([[_inputs("input", shape, dtype)]] for dtype in _DTYPES)
    else:
        ways = _ways_by_argument(model, tuple(shape), 3 if classes else 2)
    inputs = _only_fitting(model, ways)
    try:
        outputs = model(*inputs, training=False)
    except Exception as error:  # of the user's code, whatever it is
        raise InputError(
            f"network: {type(model).__name__} cannot be traced for any number of images "
            f"({cause(error)}); take the batch from tf.shape(x)[0], and loop over no images"
        ) from error
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs)


def wrapped_map(model: keras.Model, role: str, taken: str) -> keras.Model:
    """A functional model around a subclass of one tensor that was called before."""
    shapes: Mapping[str, Any] = model._build_shapes_dict or {}
    name = type(model).__name__
    if not model.built or not shapes:
        raise InputError(
            f"{role}: got {name}, whose input is not known, since it was never called; call it "
            f"once on a batch of {taken}, then export it"
        )
    if len(shapes) > 1:
        raise InputError(f"{role}: the call of {name} takes {', '.join(shapes)}, expected {taken}")
    given = _inputs("given", next(iter(shapes.values())), "float32")
    try:
        return keras.Model(given, model(given, training=False))
    except Exception as error:  # of the user's code, whatever it is
        raise InputError(
            f"{role}: {name} cannot be traced for a batch of any size ({cause(error)}); take the "
            "batch from tf.shape(x)[0], and loop over nothing that it has"
        ) from error


def _inputs(name: str, shape: Any, dtype: str) -> Any:
    """A keras.Input for a shape, or one for each in a list or dict of them."""
    if isinstance(shape, Mapping):
        return {key: _inputs(key, each, dtype) for key, each in shape.items()}
    if any(isinstance(each, list | tuple | Mapping) for each in shape):
        return [_inputs(f"{name}_{place}", each, dtype) for place, each in enumerate(shape)]
    is_image = len(shape) == 4 and max(shape[1:3]) > 1
    return keras.Input(tuple(shape[1:]), name=name, dtype="float32" if is_image else dtype)


def _ways_by_argument(
    model: keras.Model, shape: tuple[int, ...], count: int
) -> Iterator[list[Inputs]]:
    """Inputs for a call of several arguments, of which Keras keeps the shape of the first alone."""
    parameters = inspect.signature(model.call).parameters
    names = [name for name in parameters if name not in ("training", "mask")][:count]
    if len(names) < count:
        raise InputError(
            f"network: the call of {type(model).__name__} takes {', '.join(names)}, expected "
            f"{count} tensors: images, a condition{', labels' * (count - 2)}"
        )
    image = keras.Input(shape[1:], name=names[0])
    for dtypes in itertools.product(_DTYPES, repeat=count - 1):
        group = []
        for sizes in itertools.product(_SHAPES, repeat=count - 1):
            triples = zip(names[1:], sizes, dtypes, strict=True)
            others = [keras.Input(size, name=name, dtype=dtype) for name, size, dtype in triples]
            group.append([image, *others])
        yield group


def _only_fitting(model: keras.Model, ways: Iterable[list[Inputs]]) -> Inputs:
    """The first inputs that the model can be called with; all others of their types must agree."""
    problem: Exception = TypeError("no call gives images")
    for group in ways:
        fitting: list[tuple[Inputs, list[np.ndarray]]] = []
        for inputs in group:
            examples: Any = keras.tree.map_structure(_example, inputs)
            try:
                outputs = model(*examples, training=False)
            except Exception as error:  # of the user's code, whatever it is
                problem = error
            else:
                rank = max(len(x.shape) for x in keras.tree.flatten(examples))
                flat = keras.tree.flatten(outputs)
                images = [np.asarray(x) for x in flat if len(x.shape) == rank]
                fitting += [(inputs, images)] if images else []
        if not all(_alike(fitting[0][1], images) for _, images in fitting):
            shapes = " and ".join(str([x.shape[1:] for x in inputs[1:]]) for inputs, _ in fitting)
            received = f"{type(model).__name__} gives other predictions for inputs of {shapes}"
            raise InputError(f"network: {received}; {_WRAP}")
        if fitting:
            return fitting[0][0]
    name = type(model).__name__
    raise InputError(f"network: {name} cannot be called on a batch ({cause(problem)}); {_WRAP}")


def _alike(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    pairs = zip(some, others, strict=False)
    same = (a.shape == b.shape and np.allclose(a, b, atol=1e-5) for a, b in pairs)
    return len(some) == len(others) and all(same)


def _example(tensor: keras.KerasTensor) -> np.ndarray:
    """Some values for an input: noise, a condition of 0.5, or ones."""
    # Five, since Keras takes a condition of as many images as there are channels for a bias.
    shape = (5, *(size or 8 for size in tensor.shape[1:]))
    if len(shape) == 4:
        return np.random.default_rng(0).normal(size=shape).astype(tensor.dtype)
    return np.full(shape, 0.5 if tensor.dtype == "float32" else 1, tensor.dtype)
