"""The error for bad input, so that commands can tell it from a defect."""

from collections.abc import Sequence


class InputError(ValueError):
    """Bad input: the message is one line that names it, what was expected and what to do."""


class Stopped(Exception):  # noqa: N818 (it is no error)
    """A run that saved and ended before its last step; `status` is the command's exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def first_line(error: Exception) -> str:
    """The first line of another library's error, or its class name; at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise InputError for a value that is none of the choices."""
    if value not in choices:
        raise InputError(f"{name}={value}: expected one of {', '.join(choices)}")
