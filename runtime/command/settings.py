"""What the files of a job were made with, so that a restart goes on with its own files alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..bundle.bundle import Bundle
from .options import bad_flag

# The folder's name is for people: the same bundle may lie somewhere else the next time.
_NOT_COMPARED = ("bundle",)


def settings_of(
    bundle: Bundle,
    *,
    steps: int,
    scale: int,
    choices: Sequence[int] | None = None,
    guidance: float | None = None,
) -> dict[str, Any]:
    """Return all that the pixels of a seed follow from, as JSON has it."""
    chosen = bundle.default_guidance if guidance is None else guidance
    conditioning = {"label": choices and list(choices), "guidance": chosen}
    return {
        "bundle": bundle.path.absolute().name,
        "sampler_sha256": bundle.graph("sampler").sha256,
        "steps": steps,
        "scale": scale,
        **(conditioning if bundle.class_names else {}),
    }


def require_same(path: Path, found: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """UsageError with the first difference, unless `path` was made with these settings."""
    for name, value in settings.items():
        if name not in _NOT_COMPARED and found.get(name) != value:
            raise bad_flag(
                "out",
                path,
                f"was begun with {_told(name, found.get(name))}, not {_told(name, value)}; use the "
                "same flags and bundle to go on with it, or choose another path",
            )


def _told(name: str, value: Any) -> str:
    if value is None:
        return f"no {name}"
    return f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"
