"""What images are to show, where a model knows classes: the label of each, and the guidance."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..bundle.bundle import Bundle
from ..limits import MAX_GUIDANCE

Label = int | str
Labels = Label | Sequence[Label] | np.ndarray

NO_LABEL = -1
_NAMED = 5


class Conditioning(NamedTuple):
    """Inputs of a graph beyond those of every model: rows, one for each image, and numbers.

    Both are empty for a model without classes.
    """

    rows: Mapping[str, np.ndarray]
    numbers: Mapping[str, float]


def checked_conditioning(
    bundle: Bundle,
    labels: Labels | None,
    guidance: float | None,
    *,
    count: int,
    seeds: np.ndarray | None = None,
) -> Conditioning:
    """Return what `count` images are to show; ValueError for what the bundle does not know.

    `labels` is one for all or one for each: a class by number or name, or -1 for none. Left out,
    the image of a seed shows class seed mod the number of classes, and one without seeds none.
    `guidance` is 0 … 100, by default the bundle's where a class is shown, and else 1.
    """
    if not bundle.class_names:
        for name, value in (("labels", labels), ("guidance", guidance)):
            if value is not None:
                raise ValueError(
                    f"{name}={value!r}: the model of {bundle.path} knows no classes; leave it out"
                )
        return Conditioning({}, {})
    if labels is None:
        numbers = np.full(count, NO_LABEL) if seeds is None else seeds % len(bundle.class_names)
    else:
        numbers = _numbers(bundle, labels, count)
    if guidance is None:
        guidance = bundle.default_guidance if (numbers != NO_LABEL).any() else 1.0
    return Conditioning({"labels": numbers}, {"guidance": checked_guidance(guidance)})


def class_number(bundle: Bundle, label: Any) -> int:
    """Return the number of a class, given as that or by name, -1 for none.

    Raises ValueError for one that the bundle does not know.
    """
    names = bundle.class_names
    if isinstance(label, str):
        if label in names:
            return names.index(label)
        folded = [name.casefold() for name in names]
        if folded.count(label.casefold()) == 1:
            return folded.index(label.casefold())
        import difflib  # which a label that is right need not wait for

        near = difflib.get_close_matches(label, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the first are {_listed(names)}"
        raise ValueError(f"labels: {label!r} is none of the bundle's {len(names)} classes; {hint}")
    whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
    if not whole or not NO_LABEL <= label < len(names):
        raise ValueError(
            f"labels: {label!r} is no class, expected a name, or a whole number from -1 (none) to "
            f"{len(names) - 1}"
        )
    return int(label)


def unguided(bundle: Bundle, batch: int) -> dict[str, np.ndarray]:
    """Return the inputs that ask for one evaluation of an image in each step, if there are any."""
    conditioning = checked_conditioning(
        bundle, None, 1.0 if bundle.class_names else None, count=batch
    )
    return {
        **conditioning.rows,
        **{name: np.array(x, np.float32) for name, x in conditioning.numbers.items()},
    }


def checked_guidance(guidance: Any) -> float:
    """Return a guidance from 0 to 100 as a float; ValueError for anything else."""
    number = isinstance(guidance, int | float | np.integer | np.floating)
    if not number or isinstance(guidance, bool) or not 0 <= guidance <= MAX_GUIDANCE:
        raise ValueError(f"guidance={guidance!r}: expected a number from 0 to {MAX_GUIDANCE:g}")
    return math.fabs(float(guidance))


def _numbers(bundle: Bundle, labels: Labels, count: int) -> np.ndarray:
    """Return the numbers of classes, int64 [count]."""
    if isinstance(labels, str) or np.ndim(labels) == 0:
        return np.full(count, class_number(bundle, labels), np.int64)
    listed = [class_number(bundle, label) for label in labels]  # pyright: ignore
    if len(listed) != count:
        raise ValueError(
            f"labels: received {len(listed)}, expected {count}, one for each image, or one for all"
        )
    return np.array(listed, np.int64)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")
