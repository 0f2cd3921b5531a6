"""Which input of a network is which: by name, and where names say nothing by shape and dtype."""

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from ...trainer.errors import InputError
from ..model import ROLES

NOISY, CONDITION, LABELS, GUIDANCE = ROLES
CHANNELS = range(1, 5)
# Of an array that is no picture.
MOST_AXES = 3

# Words in the names that people give to inputs.
_WORDS = {
    NOISY: "noisy x xt zt z image images img sample samples latent latents picture pixels",
    CONDITION: (
        "t time times timestep timesteps step steps level levels rate rates variance variances "
        "sigma sigmas snr logsnr gamma gammas lambda"
    ),
    LABELS: "y label labels class classes category categories",
    GUIDANCE: "guidance cfg w",
}
_ROLE_OF_WORD = {word: role for role, words in _WORDS.items() for word in words.split()}
# Names whose words, one by one, would say something else.
_ROLE_OF_NAME = {"x_t": NOISY, "z_t": NOISY, "image_t": NOISY, "noisy_t": NOISY}


@dataclass(frozen=True)
class Input:
    """An input of a network; `name` is empty if nobody chose one, `shape` is without the batch."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def is_sample(self, *, arrays: bool) -> bool:
        """Whether an image, or an array that is none, of some size could have this shape."""
        if not arrays:
            return self.is_image and self.shape[1:] != (1, 1)
        return 1 <= len(self.shape) <= MOST_AXES

    def __str__(self) -> str:
        sizes = ", ".join(str(size) for size in ("N", *self.shape))
        return f"{self.name} {self.dtype}[{sizes}]".strip()

    @property
    def is_whole(self) -> bool:
        """Whether it takes whole numbers."""
        return tf.as_dtype(self.dtype).is_integer

    @property
    def is_image(self) -> bool:
        """Whether an image of some size could have this shape."""
        return len(self.shape) == 3 and any(self.shape[end] in CHANNELS for end in (0, -1))

    @property
    def role_by_name(self) -> str | None:
        """The role that the name stands for, None if it stands for none or for several."""
        name = re.sub(r"(?<=[a-z])(?=[A-Z])|[^a-zA-Z]+", "_", self.name).strip("_").lower()
        if name in _ROLE_OF_NAME:
            return _ROLE_OF_NAME[name]
        said = {_ROLE_OF_WORD[word] for word in name.split("_") if word in _ROLE_OF_WORD}
        return said.pop() if len(said) == 1 else None


def inputs_of(network: keras.Model) -> list[Input]:
    """The inputs in the network's own order; those of a dict have its keys as names."""
    paths = keras.tree.flatten_with_path(network.input)
    return [Input(_name(path, x), tuple(x.shape[1:]), x.dtype) for path, x in paths]


def _name(path: Sequence[Any], tensor: keras.KerasTensor) -> str:
    keys = [key for key in path if isinstance(key, str)]
    name = keys[-1] if keys else tensor.name
    return "" if re.fullmatch(r"(keras_tensor|input|input_layer)(_\d+)?", name) else name


def roles_of(
    inputs: Sequence[Input],
    classes: int,
    order: Sequence[str],
    *,
    whole_condition: bool,
    conditions: Collection[str] = (),
    takes_guidance: bool = False,
    arrays: bool = False,
) -> tuple[str, ...]:
    """The role of each input: noisy, condition, labels if there are `classes`, or its own name.

    The last is for those among the `conditions`. One that `takes_guidance` has an input for it.
    `order` says the roles if it is not empty. A condition that is a timestep is a
    `whole_condition`. What is noisy are images, or `arrays` that are none. Raises InputError where
    no reading fits, and where two do.
    """
    roles = _expected(classes, takes_guidance=takes_guidance)
    if order:
        _require_order(order, (*roles, *conditions), inputs)
    names = order or [one.name for one in inputs]
    if absent := [name for name in conditions if name not in names]:
        raise InputError(
            f"conditions: {absent[0]} is none of the network's inputs, which are "
            f"{_listed(inputs)}; give that input this name, or say with inputs=… which it is"
        )
    own = [name if name in conditions else "" for name in names]
    rest = [one for one, name in zip(inputs, own, strict=True) if not name]
    order = [role for role in order if role not in conditions]
    settings = {"whole_condition": whole_condition, "arrays": arrays}
    others = iter(_roles_of(rest, classes, order, roles, **settings))
    return tuple(name or next(others) for name in own)


def _expected(classes: int, *, takes_guidance: bool) -> tuple[str, ...]:
    """The roles that a network has, in the order of a sampler's call."""
    left_out = ([] if classes else [LABELS]) + ([] if takes_guidance else [GUIDANCE])
    return tuple(role for role in ROLES if role not in left_out)


def _roles_of(
    inputs: Sequence[Input],
    classes: int,
    order: Sequence[str],
    roles: tuple[str, ...],
    *,
    whole_condition: bool,
    arrays: bool,
) -> tuple[str, ...]:
    """The `roles` of the inputs that are no named conditions."""
    readings = [
        reading
        for reading in itertools.permutations(roles)
        if len(inputs) == len(roles) and (not order or reading == tuple(order))
        if all(
            _fits(x, role, inputs, classes, arrays=arrays)
            for x, role in zip(inputs, reading, strict=True)
        )
    ]
    if not readings:
        raise InputError(_no_reading(inputs, classes, order, roles, arrays=arrays))
    if classes == 1 and any(_is_unclear_label(inputs, reading) for reading in readings):
        raise InputError(
            f"network: its inputs {_listed(inputs)} may take the one class as a number or one-hot; "
            "build it with labels of whole numbers"
        )
    if order:
        return readings[0]
    named = [reading for reading in readings if _agrees(inputs, reading, classes, arrays=arrays)]
    if not named:
        raise InputError(_unclear(inputs, readings, "have names that say something else"))
    if len(named) == 1:
        return named[0]
    by_dtype = [reading for reading in named if _dtypes_fit(inputs, reading)]
    # A timestep is a whole number too, so the usual order must say the same.
    if len(by_dtype) != 1 or (whole_condition and by_dtype[0] != roles):
        raise InputError(_unclear(inputs, named, "can be read in several ways"))
    return by_dtype[0]


def _fits(one: Input, role: str, inputs: Sequence[Input], classes: int, *, arrays: bool) -> bool:
    if role == NOISY:
        return one.is_sample(arrays=arrays)
    if len(one.shape) <= 1 or set(one.shape) == {1}:
        size = one.shape[0] if one.shape else 1
        whole = role == GUIDANCE and one.is_whole
        return (size == 1 and not whole) or (role == LABELS and size == classes)
    sides = [other.shape[:2] for other in inputs if other is not one and other.is_image]
    sides += [other.shape[1:] for other in inputs if other is not one and other.is_image]
    as_map = one.shape[-1] == 1 and one.shape[:2] in sides
    as_map = as_map or (one.shape[0] == 1 and one.shape[1:] in sides)
    return role == CONDITION and len(one.shape) == 3 and as_map


def _agrees(inputs: Sequence[Input], reading: Sequence[str], classes: int, *, arrays: bool) -> bool:
    """Whether a reading is what the names say, where a name says what its shape allows."""
    for one, role in zip(inputs, reading, strict=True):
        name = one.role_by_name
        # Without such a role, a name of guidance says nothing.
        if name is None or (name == GUIDANCE and GUIDANCE not in reading):
            continue
        if name != role and _fits(one, name, inputs, classes or 1, arrays=arrays):
            return False
    return True


def _is_unclear_label(inputs: Sequence[Input], reading: Sequence[str]) -> bool:
    one = inputs[reading.index(LABELS)]
    return one.shape == (1,) and not one.is_whole


def _dtypes_fit(inputs: Sequence[Input], reading: Sequence[str]) -> bool:
    """Whether the labels are whole numbers, and the images and the condition are not."""
    pairs = zip(inputs, reading, strict=True)
    return all(one.is_whole == (role == LABELS) for one, role in pairs)


def _require_order(order: Sequence[str], roles: Sequence[str], inputs: Sequence[Input]) -> None:
    if sorted(order) != sorted(roles) or len(order) != len(inputs):
        received = f"inputs={','.join(order)}"
        raise InputError(
            f"{received}: expected {', '.join(roles)} in the order of the network's inputs, which "
            f"are {_listed(inputs)}"
        )


def _no_reading(
    inputs: Sequence[Input],
    classes: int,
    order: Sequence[str],
    roles: Sequence[str],
    *,
    arrays: bool,
) -> str:
    labels = f", labels int[N] (or one-hot [N, {classes}])" if classes else ""
    labels += ", guidance [N]" if GUIDANCE in roles else ""
    hint = "; give class_names if it takes labels" if len(inputs) == 3 and not classes else ""
    guided = GUIDANCE in roles or all(one.role_by_name != GUIDANCE for one in inputs)
    hint += "" if guided else "; give guidance_range, such as 1,4, if it takes the guidance"
    hint += ", and conditions={NAME: …} for what else it takes" if len(inputs) > 2 else ""
    asked = f", which cannot be inputs={','.join(order)}" if order else ""
    if arrays:
        noisy = "noisy arrays [N, D], [N, T, C] or [N, H, W, C], a condition [N] or [N, 1]"
    else:
        noisy = (
            "noisy images [N, H, W, C] with 1 to 4 channels, a condition [N], [N, 1], [N, 1, 1], "
            "[N, 1, 1, 1] or [N, H, W, 1]"
        )
        if not any(one.is_image for one in inputs):
            hint += "; give mean and std in place of pixel_mean and pixel_std for other arrays"
    return f"network: has inputs {_listed(inputs)}{asked}; expected {noisy}{labels}{hint}"


def _unclear(inputs: Sequence[Input], readings: Sequence[Sequence[str]], why: str) -> str:
    ways = " or ".join(f"inputs={','.join(reading)}" for reading in readings[:3])
    return (
        f"network: its inputs {_listed(inputs)} {why}; say in their order what they are, with "
        f"{ways}, or give them these names, and give class_names if it takes labels"
    )


def _listed(inputs: Sequence[Input]) -> str:
    return ", ".join(f"{place}: {one}" for place, one in enumerate(inputs, 1))
