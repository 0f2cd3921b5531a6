"""Every bundle that the examples' commands name exists, or `make demo` writes it."""

import re
import subprocess
from pathlib import Path

import pytest
from example_programs import EXAMPLES

pytestmark = pytest.mark.slow

# The page of the strokes makes its own bundle.
PAGES = sorted({*EXAMPLES.glob("*/README.md")} - {EXAMPLES / "strokes/README.md"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_bundles_in_commands_exist_or_are_written_by_make_demo(page: Path) -> None:
    project = EXAMPLES.parent
    named = set(re.findall(r"(?:\.\./\.\./|`)(\w+/\w+\.bundle)", page.read_text(encoding="utf-8")))
    demo = subprocess.run(
        ["make", "--dry-run", "demo"], cwd=project, capture_output=True, text=True, check=True
    ).stdout
    existing = {bundle for bundle in named if (project / bundle / "bundle.json").is_file()}
    assert named
    assert named - existing <= set(re.findall(r"--bundle=(\S+)", demo))
