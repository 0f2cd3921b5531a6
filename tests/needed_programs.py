"""Programs that no Python package brings, and a Python that may be another."""

import os
from collections.abc import Callable

import pytest
from example_programs import MissingProgramError, litert_python, program


def required_program(*names: str) -> str:
    """The path of the first program that there is; skips the test if none is, but fails in CI."""
    return _required(lambda: program(*names))


def required_litert() -> str:
    """A Python with LiteRT; skips the test, or fails, as `required_program`."""
    return _required(litert_python)


def _required(find: Callable[[], str]) -> str:
    try:
        return find()
    except MissingProgramError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
