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
    """The line that says what is wrong in another library's error, or else the error's class.

    It is the first one, or in TensorFlow's errors the one before the node. At most 200 characters.
    """
    text, node, _ = str(error).strip().partition("\n\t [[")
    lines = text.splitlines() or [type(error).__name__]
    return lines[-1 if node else 0][:200]


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise InputError for a value that is none of the choices."""
    if value not in choices:
        raise InputError(f"{name}={value}: expected one of {', '.join(choices)}")
