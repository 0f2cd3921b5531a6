"""The settings that the files of a job were made with, so that a restart continues only its own."""

from collections.abc import Mapping
from typing import Any

# The folder's name is for people: the same bundle may lie elsewhere next time.
_NOT_COMPARED = ("bundle",)


def require_same(received: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """ValueError that names the first difference, unless a file's settings are these."""
    for name, value in settings.items():
        if name not in _NOT_COMPARED and received.get(name) != value:
            raise ValueError(
                f"was begun with {_phrase(name, received.get(name))}, not {_phrase(name, value)}; "
                "use the same flags and bundle to continue it, or choose another path"
            )


def _phrase(name: str, value: Any) -> str:
    if value is None:
        return f"no {name}"
    return f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"
