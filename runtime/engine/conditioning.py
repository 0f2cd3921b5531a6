"""What images show: the label of each, the guidance, and conditions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..bundle.bundle import Bundle
from ..limits import whole
from .conditions import Conditions, checked_conditions, examples

Label = int | str
Labels = Label | Sequence[Label] | np.ndarray
Feeds = Mapping[str, np.ndarray]

NO_LABEL = -1


class Conditioning(NamedTuple):
    """Inputs of a graph beyond those of every model: rows, one for each image, and numbers.

    Both are empty for a model without classes and conditions.
    """

    rows: Feeds
    numbers: Mapping[str, float]

    def feeds(self, **further: float) -> Feeds:
        """Return both, with `further` numbers, as a graph's inputs by name."""
        numbers = {**self.numbers, **further}
        return {**self.rows, **{name: scalar(number) for name, number in numbers.items()}}


def checked_conditioning(
    bundle: Bundle,
    labels: Labels | None,
    guidance: float | None,
    conditions: Conditions | None = None,
    *,
    count: int = 0,
    seeds: np.ndarray | None = None,
) -> Conditioning:
    """Return what `count` images show, or the images of `seeds` int64 [N].

    `labels` is one for all or one for each: a class by number or name, or -1 for none. By default
    the image of a seed shows class seed mod the number of classes, and an image without a seed
    none. `guidance` is 0 … 100, by default the bundle's where it leaves something out, and 1
    elsewhere. `conditions` are all of the bundle's by name, one for all or one for each.
    Raises ValueError for a label, a guidance or a condition that does not fit the bundle.
    """
    count = count if seeds is None else len(seeds)
    shown = checked_labels_and_guidance(bundle, labels, guidance, count=count, seeds=seeds)
    return shown._replace(rows={**shown.rows, **checked_conditions(bundle, conditions, count)})


def checked_labels_and_guidance(
    bundle: Bundle,
    labels: Labels | None,
    guidance: float | None,
    *,
    count: int,
    seeds: np.ndarray | None = None,
) -> Conditioning:
    """Do what `checked_conditioning` does, without conditions."""
    if labels is not None and not bundle.class_names:
        problem = f"the model of {bundle.path} knows no classes; leave it out"
        raise ValueError(f"labels={labels!r}: {problem}")
    if guidance is not None and not bundle.is_guided:
        nothing = "has nothing to guide" if bundle.conditions else "knows no classes"
        problem = f"the model of {bundle.path} {nothing}; leave it out"
        raise ValueError(f"guidance={guidance!r}: {problem}")
    if not bundle.is_guided:
        return Conditioning({}, {})
    rows, guides = {}, bundle.guides_conditions
    if bundle.class_names:
        if labels is not None:
            numbers = _class_numbers(bundle, labels, count)
        else:
            numbers = np.full(count, NO_LABEL) if seeds is None else seeds % len(bundle.class_names)
        rows["labels"] = numbers
        guides = guides or bool((numbers != NO_LABEL).any())
    if guidance is None:
        guidance = bundle.default_guidance if guides else 1.0
    return Conditioning(rows, {"guidance": _checked_guidance(guidance, bundle.guidance_range)})


def class_number(bundle: Bundle, label: Any) -> int:
    """Return the number of a class, of a name or a number; -1 means none.

    Raises ValueError for a class that the bundle does not know.
    """
    names = bundle.class_names
    if isinstance(label, str):
        if label in names:
            return names.index(label)
        folded = [name.casefold() for name in names]
        if folded.count(label.casefold()) == 1:
            return folded.index(label.casefold())
        import difflib  # only here, so that correct labels need not wait for it

        near = difflib.get_close_matches(label, names, n=1)
        first = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")
        hint = f"did you mean {near[0]!r}?" if near else f"the first are {first}"
        raise ValueError(f"labels: {label!r} is none of the bundle's {len(names)} classes; {hint}")
    try:
        return whole("labels", label, NO_LABEL, len(names) - 1)
    except ValueError as error:
        raise ValueError(
            f"labels: {label!r} is no class, expected a name, or a whole number from -1 (none) to "
            f"{len(names) - 1}"
        ) from error


def unguided(bundle: Bundle, batch: int) -> Feeds:
    """Return the inputs that ask for one evaluation of an image in each step, if there are any."""
    guidance = 1.0 if bundle.is_guided else None
    given = examples(bundle, batch)
    return checked_conditioning(bundle, None, guidance, given, count=batch).feeds()


def scalar(number: float) -> np.ndarray:
    """Return a number as graphs take it: int as int64 [], float as float32 []."""
    return np.array(number, np.float32 if isinstance(number, float) else np.int64)


def _checked_guidance(guidance: Any, within: tuple[float, float]) -> float:
    number, (least, most) = isinstance(guidance, int | float | np.integer | np.floating), within
    if not number or isinstance(guidance, bool) or not least <= guidance <= most:
        raise ValueError(f"guidance={guidance!r}: expected a number from {least:g} to {most:g}")
    return abs(float(guidance))  # -0.0 becomes 0.0


def _class_numbers(bundle: Bundle, labels: Labels, count: int) -> np.ndarray:
    """Return the numbers of classes, int64 [count]."""
    if np.ndim(labels) == 0:
        return np.full(count, class_number(bundle, labels), np.int64)
    listed = [class_number(bundle, label) for label in labels]  # pyright: ignore
    if len(listed) != count:
        raise ValueError(
            f"labels: received {len(listed)}, expected {count}, one for each image, or one for all"
        )
    return np.array(listed, np.int64)
