"""Functions of TensorFlow's in other forms while a network is traced for conversion.

Loops of a known number of turns are written out, and tables that are looked up become comparisons
with their keys: in ONNX a loop would be another Loop, which the runtime refuses, and a table of
numbers has no operator.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from .settling import known_value

# Of what is written out: more turns make graphs that take long to load.
_MOST_TURNS = 64


def mapped(original: Callable, function: Callable, elems: Any, *more: Any, **settings: Any) -> Any:
    """tf.map_fn over a known number of elements, or over all images at once."""
    leaves = tf.nest.flatten(elems)
    if not all(isinstance(leaf, tf.Tensor) and leaf.shape.rank for leaf in leaves):
        return original(function, elems, *more, **settings)
    turns = min(leaf.shape[0] or 0 for leaf in leaves)
    if turns == 0:
        return tf.vectorized_map(function, elems)
    if turns > _MOST_TURNS:
        return original(function, elems, *more, **settings)

    def element(place: int) -> Any:
        return tf.nest.map_structure(lambda leaf: leaf[place], elems)

    results = [function(element(place)) for place in range(turns)]
    return tf.nest.map_structure(lambda *parts: tf.stack(parts), *results)


def looped(
    original: Callable, cond: Callable, body: Callable, loop_vars: Any, *more: Any, **settings: Any
) -> Any:
    """tf.while_loop whose condition is known before it runs, as with a count."""
    maximum = settings.get("maximum_iterations")
    if not more and (maximum is None or isinstance(maximum, int)):
        with contextlib.suppress(_UnknownTurnsError):
            return _written_out(cond, body, loop_vars, maximum)
    return original(cond, body, loop_vars, *more, **settings)


class _UnknownTurnsError(Exception):
    """Only a run shows how many turns a loop takes, or it takes too many."""


def _written_out(cond: Callable, body: Callable, loop_vars: Any, maximum: int | None) -> Any:
    if not all(map(_is_plain, tf.nest.flatten(loop_vars))):
        raise _UnknownTurnsError
    state = tf.nest.map_structure(tf.convert_to_tensor, loop_vars)
    for turn in range(_MOST_TURNS + 1):
        if turn == maximum or not _decided(cond(*state)):
            return state
        made = body(*state)
        leaves = tf.nest.flatten(made if isinstance(made, (list, tuple)) else [made])
        state = tf.nest.pack_sequence_as(loop_vars, [*map(tf.convert_to_tensor, leaves)])
    raise _UnknownTurnsError


def recurrent(original: Callable, layer: Any, sequences: Any, *more: Any, **settings: Any) -> Any:
    """The turns of a recurrent layer over sequences of a known length."""
    turns, before = sequences.shape[1], layer.unroll
    try:
        layer.unroll = before or (turns is not None and turns <= _MOST_TURNS)
        return original(layer, sequences, *more, **settings)
    finally:
        layer.unroll = before


def _is_plain(value: Any) -> bool:
    return isinstance(value, (tf.Tensor, np.ndarray, np.generic, int, float))


def _decided(condition: Any) -> bool:
    value = known_value(condition) if tf.is_symbolic_tensor(condition) else condition
    if value is None:
        raise _UnknownTurnsError
    return bool(value)


def looked_up(original: Callable, table: Any, keys: Any, *more: Any, **settings: Any) -> Any:
    """The value that a table has for each whole number, or its default."""
    if not isinstance(keys, tf.Tensor) or tf.string in (table.key_dtype, table.value_dtype):
        return original(table, keys, *more, **settings)
    with tf.init_scope():
        known, values = (tensor.numpy() for tensor in table.export())
        default = table.default_value.numpy()
    order = np.argsort(known)  # since a table keeps none
    hits = tf.equal(tf.expand_dims(keys, -1), known[order])
    found = tf.reduce_sum(tf.where(hits, values[order], tf.zeros((), table.value_dtype)), -1)
    return tf.where(tf.reduce_any(hits, -1), found, default)
