"""Checks of single settings; each raises InputError."""

from ..errors import InputError

MIN_SIGNAL_RATE = 0.001


def require(condition: bool, message: str) -> None:
    """Raise InputError with this message unless the condition holds."""
    if not condition:
        raise InputError(message)


def check_integers(config: object, bounds: dict[str, tuple[int, int]]) -> None:
    """Check that each of these attributes is a whole number within its bounds, both inclusive."""
    for name, (least, most) in bounds.items():
        check_integer(name, getattr(config, name), least, most)


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
