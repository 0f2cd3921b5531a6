"""Where two entries of JSON differ, in words."""

from typing import Any

from .manifest import printable, received

_MISSING: Any = object()
# What an error shows of a text from its beginning, and before the first letter that differs.
_SHOWN, _BEFORE = 60, 12


def difference(name: str, value: Any, expected: Any) -> str:
    """What the innermost entry that differs is, and what was expected there.

    The entries have this name and differ. A list stays whole where an error shows the difference.
    """
    while _holds_difference(value, expected):
        own, others = _items(value), _items(expected)
        key = next(key for key in {**others, **own} if _differ(own, others, key))
        name += f"[{key}]" if isinstance(value, list) else f".{key}"
        value, expected = own.get(key, _MISSING), others.get(key, _MISSING)
    if isinstance(value, str) and isinstance(expected, str):
        value, expected = _from_difference(value, expected)
    found = "is missing" if value is _MISSING else f"is {received(value)}"
    wanted = "none" if expected is _MISSING else received(expected)
    return f"{printable(name)[:160]} {found}, expected {wanted}"


def _holds_difference(value: Any, expected: Any) -> bool:
    """Whether these are entries of one kind, inside of which the difference has to be found."""
    if not isinstance(value, dict | list) or type(value) is not type(expected):
        return False
    inner = any(isinstance(each, dict | list) for each in (*value, *expected))
    return isinstance(value, dict) or inner or received(value) == received(expected)


def _items(entry: Any) -> dict[Any, Any]:
    return dict(enumerate(entry)) if isinstance(entry, list) else entry


def _differ(own: dict[Any, Any], others: dict[Any, Any], key: Any) -> bool:
    return own.get(key, _MISSING) != others.get(key, _MISSING)


def _from_difference(one: str, other: str) -> tuple[str, str]:
    """Two texts, which begin shortly before they differ if an error would not show it otherwise."""
    pairs = enumerate(zip(one, other, strict=False))
    same = next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
    start = same - _BEFORE
    if start <= 0 or max(len(one), len(other)) <= _SHOWN:
        return one, other
    return f"…{one[start:]}", f"…{other[start:]}"
