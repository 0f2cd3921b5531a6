"""Checks what is given for a bundle's conditions: one for all images, or one for each."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..bundle.bundle import Bundle
from ..bundle.conditions import Condition
from .arguments import as_array

Conditions = Mapping[str, Any]


def checked_conditions(
    bundle: Bundle, conditions: Conditions | None, count: int
) -> dict[str, np.ndarray]:
    """Return a bundle's conditions by name, each [count, …] of its dtype.

    Raises ValueError unless all of them that have no default are given, no others, and all fit.
    """
    if not bundle.conditions and not conditions:
        return {}
    require_names(bundle, {} if conditions is None else conditions)
    rows = {}
    for each in bundle.conditions:
        try:
            given = condition_rows(each, given_or_default(each, conditions or {}), count)
        except ValueError as error:
            raise ValueError(f"conditions[{each.name!r}] {error}") from error
        rows[each.name] = np.broadcast_to(given, (count, *each.shape))
    return rows


def with_made(conditions: Conditions | None, made: Conditions, source: str) -> Conditions:
    """Add conditions that a method makes from its argument `source`.

    ValueError if the caller gives one of them.
    """
    given = {} if conditions is None else conditions
    _require_mapping(given)
    for name in made:
        if name in given:
            raise ValueError(f"conditions: {name!r} is made from {source}; leave it out")
    return {**given, **made}


def _require_mapping(conditions: Conditions) -> None:
    if not hasattr(conditions, "keys"):
        kind = type(conditions).__name__
        raise ValueError(f"conditions: received {kind}, expected a dict of arrays by name")


def require_names(bundle: Bundle, conditions: Conditions) -> None:
    """ValueError unless these are names of the bundle's conditions, with all that are needed."""
    _require_mapping(conditions)
    if not bundle.conditions:
        names = ", ".join(map(repr, conditions))
        raise ValueError(f"conditions: {names}: {bundle.path} takes none; leave them out")
    names = [each.name for each in bundle.conditions]
    for name in conditions:
        if name not in names:
            import difflib  # only here, so that correct names need not wait for it

            near = difflib.get_close_matches(str(name), names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(names)}"
            raise ValueError(f"conditions: {name!r} is none of the bundle's; {hint}")
    needed = (each for each in bundle.conditions if each.default is None)
    if missing := [each for each in needed if each.name not in conditions]:
        raise ValueError(f"conditions: missing, expected {'; '.join(map(str, missing))}")


def given_or_default(condition: Condition, conditions: Conditions) -> Any:
    """Return what is given for a condition, or else its default."""
    if condition.name in conditions:
        return conditions[condition.name]
    return np.full(condition.shape, condition.default, condition.dtype)


def condition_rows(condition: Condition, value: Any, count: int) -> np.ndarray:
    """Return a condition's value as [1, …] for all images, or [count, …] with one for each.

    Raises ValueError, in words that go on from a name, for another shape, dtype or range.
    """
    array = as_array("is uneven", value)
    shape = condition.shape
    if array.shape not in (shape, (1, *shape), (count, *shape)):
        wanted = f"expected {list(shape)} for all images, or {[count, *shape]} with one for each"
        raise ValueError(f"has shape {list(array.shape)}, {wanted}")
    return condition.numbers(array).reshape(-1, *shape)


def examples(bundle: Bundle, count: int) -> dict[str, np.ndarray]:
    """Return conditions for `count` images of no meaning, for runs whose time alone counts."""
    return {
        each.name: np.repeat(each.example()[np.newaxis], count, 0) for each in bundle.conditions
    }
