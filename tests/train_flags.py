"""diffkiln-train in this process, for flags that are refused before TensorFlow is needed."""

import logging
import sys
from collections.abc import Callable

import pytest
from absl.testing import flagsaver

from diffkiln.trainer import cli

# From flags to the line that refuses them.
Refusal = Callable[..., str]


def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> str:
    """The one line on stderr for flags that end the command with status 2."""
    monkeypatch.setattr(sys, "argv", ["diffkiln-train", *arguments])
    logger, saved = logging.getLogger("diffkiln"), flagsaver.save_flag_values(cli.FLAGS)
    handlers = logger.handlers[:]
    try:
        assert cli.main() == 2
    finally:
        flagsaver.restore_flag_values(saved, cli.FLAGS)
        logger.handlers[:] = handlers
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    return line
