"""The error for anything a caller got wrong, so that commands can tell it from a defect."""


class InputError(ValueError):
    """Bad input: the message is one line that names it, what was expected and what to do."""
