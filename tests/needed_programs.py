"""Programs that no Python package brings."""

import os

import pytest
from example_programs import MissingProgramError, program


def required_program(*names: str) -> str:
    """The path of the first program that there is; skips the test if none is, but fails in CI."""
    try:
        return program(*names)
    except MissingProgramError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
