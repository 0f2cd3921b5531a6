"""What ends a run whose inputs are out of range, in every host.

No operator of ONNX says that an input is wrong. But reading beyond the end of a list is an error in
most runtimes, and its message names the operator, whose scope says here what was expected. Where a
runtime reads on without a word, as on a GPU, it learns that the inputs are not admitted.
"""

import math
from collections.abc import Mapping

import tensorflow as tf

from ...runtime.limits import MAX_GUIDANCE

# Rules begin with this word in the names of a graph's nodes.
EXPECTS = "expects"
# The scope of the choice between what a graph makes and nothing.
CHOICE = f"{EXPECTS}_inputs_in_order"
# Times are computed in float32, and may come out a little beyond their range.
_ROUNDING = 1e-6


def admitted(rules: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Whether all rules hold, bool []; an error that names one that does not, where there can be.

    `rules` are bool [] by what they expect, such as "steps_from_1_to_1000".
    """
    everything = tf.constant([1], tf.int64)
    for expected, holds in rules.items():
        with tf.name_scope(f"{EXPECTS}_{expected}"):
            one = tf.cast(tf.reshape(holds, [1]), tf.int64)
            # Of one number, the first if the rule holds, and otherwise the second.
            everything *= tf.gather(one, 1 - one)
    return tf.reshape(everything > 0, [])


def or_nothing(admits: tf.Tensor, tensor: tf.Tensor, nothing: float = 0) -> tf.Tensor:
    """A tensor where inputs are admitted, bool [], and otherwise `nothing` in its place."""
    with tf.name_scope(CHOICE):
        return tf.where(admits, tensor, tf.constant(nothing, tensor.dtype))


def outputs_or_nothing(
    admits: tf.Tensor, outputs: Mapping[str, tf.Tensor], *, images: str | None
) -> dict[str, tf.Tensor]:
    """A graph's outputs where inputs are admitted; otherwise the `images` are 0, and floats NaN."""

    def nothing(name: str, tensor: tf.Tensor) -> float:
        return math.nan if tensor.dtype.is_floating and name != images else 0

    return {name: or_nothing(admits, x, nothing(name, x)) for name, x in outputs.items()}


def rules(
    inputs: Mapping[str, tf.Tensor],
    *,
    most_steps: int,
    classes: int | None,
    guidance: tuple[float, float] | None,
    conditions: Mapping[str, tuple[int, int]],
) -> dict[str, tf.Tensor]:
    """What a graph expects of those of its inputs that have a range, by name.

    `guidance` is the range of a network that takes it, `conditions` are the ranges of conditions.
    """
    ranges: dict[str, tuple[float, float | None]] = {
        "seeds": (0, None),
        "steps": (1, most_steps),
        "every": (1, None),
        "labels": (-1, (classes or 0) - 1),
        "guidance": guidance or (0, MAX_GUIDANCE),
        "time": (0, 1),
        "network_time": (0, 1),
        **conditions,
    }
    found: dict[str, tf.Tensor] = {}
    for name, (least, most) in ranges.items():
        if name in inputs:
            end = "" if most is None else f"_to_{_in_words(most)}"
            found[f"{name}_from_{_in_words(least)}{end}"] = _within(inputs[name], least, most)
    for name in (name for name in ("step", "start") if name in inputs):
        found[f"{name}_below_steps"] = _within(inputs[name], 0, inputs["steps"] - 1)
    first, *others = [name for name, tensor in inputs.items() if tensor.shape.rank]
    for name in others:
        images, rows = (tf.shape(inputs[each])[0] for each in (first, name))
        found[f"as_many_{name}_as_{first}"] = tf.equal(images, rows)
    return found


def _in_words(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _within(x: tf.Tensor, least: float, most: tf.Tensor | float | None) -> tf.Tensor:
    """Whether all numbers lie from `least` to `most`; NaN does not."""
    room = _ROUNDING if x.dtype.is_floating else 0
    fits = x >= tf.cast(least - room, x.dtype)
    if most is not None:
        fits = fits & (x <= tf.cast(most + room, x.dtype))
    return tf.reduce_all(fits) if x.shape.rank else fits
