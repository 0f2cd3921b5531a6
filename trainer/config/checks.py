"""Checks of single settings; each raises InputError."""

from dataclasses import MISSING, field, fields
from typing import Any

from ..errors import InputError, check_choice

MIN_SIGNAL_RATE = 0.001


def require(condition: bool, message: str) -> None:
    """Raise InputError with this message unless the condition holds."""
    if not condition:
        raise InputError(message)


def setting(
    default: Any = MISSING,
    *,
    choices: tuple[str, ...] = (),
    bounds: tuple[int, int] | None = None,
    changeable: bool = False,
) -> Any:
    """A dataclass field that `check_settings` checks; both bounds of a whole number are inclusive.

    `changeable` settings may differ when a run goes on: they do not change what a step computes.
    """
    metadata = {"choices": choices, "bounds": bounds, "changeable": changeable}
    return field(default=default, metadata=metadata)


def check_settings(config: Any) -> None:
    """Check the choices and bounds of all fields; None passes where it is the default."""
    for each in fields(config):
        if each.default is None and getattr(config, each.name) is None:
            continue
        value = getattr(config, each.name)
        if choices := each.metadata.get("choices"):
            check_choice(each.name, value, choices)
        if bounds := each.metadata.get("bounds"):
            check_integer(each.name, value, *bounds)


def check_integer(name: str, value: int, least: int, most: int) -> None:
    """Check that a value is a whole number from `least` to `most`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(
        whole and least <= value <= most,
        f"{name}={value}: expected a whole number from {least} to {most}",
    )


def check_signal_rates(max_signal_rate: float, min_signal_rate: float) -> None:
    """Check that float32 can tell the ends of the cosine schedule from 0 and from each other."""
    require(
        MIN_SIGNAL_RATE <= min_signal_rate < max_signal_rate <= 1,
        f"min_signal_rate={min_signal_rate}, max_signal_rate={max_signal_rate}: "
        f"expected {MIN_SIGNAL_RATE} <= min_signal_rate < max_signal_rate <= 1",
    )
