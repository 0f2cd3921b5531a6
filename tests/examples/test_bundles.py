"""The bundles that the examples' commands name are there, or made by `make demo`."""

import re
import subprocess
from pathlib import Path

import pytest
from example_programs import EXAMPLES

PAGES = sorted(EXAMPLES.glob("*/README.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_bundle_to_try_it_with(page: Path) -> None:
    project = EXAMPLES.parent
    named = set(re.findall(r"(?:\.\./\.\./|`)(\w+/\w+\.bundle)", page.read_text(encoding="utf-8")))
    made = subprocess.run(
        ["make", "--dry-run", "demo"], cwd=project, capture_output=True, text=True, check=True
    ).stdout
    there = {each for each in named if (project / each / "bundle.json").is_file()}
    assert named
    assert named - there <= set(re.findall(r"--bundle=(\S+)", made))
