"""The command `diffkiln-train` itself."""

import os

import pytest

from diffkiln.trainer.cli import main


@pytest.mark.parametrize(("set_before", "expected"), [(None, "1"), ("0", "0")])
def test_onednn_is_on_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, set_before: str | None, expected: str
) -> None:
    name = "TF_ENABLE_ONEDNN_OPTS"
    monkeypatch.setattr("sys.argv", ["diffkiln-train", "--help"])
    monkeypatch.setenv(name, "0")  # so that it is restored whatever the command does
    if set_before is None:
        monkeypatch.delenv(name)
    main()
    assert os.environ[name] == expected
