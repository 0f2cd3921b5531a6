"""No node ends the process that checks and runs it, whatever it takes and however it is set."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from diffkiln.runtime.checking.operators import RULES

EACH = 4
MAX_SECONDS, MAX_PEAK_MB = 5, 500


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_random_nodes_are_refused_or_run() -> None:
    asked = [f"{operator} {number}" for operator in RULES for number in range(EACH)]
    done = subprocess.run(
        [sys.executable, Path(__file__).parents[2] / "random_nodes.py"],
        input="\n".join(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = Counter(outcome["kind"] for outcome in outcomes)
    for line, outcome in zip(asked, outcomes, strict=True):
        assert outcome["kind"] in ("refused", "failed", "ran"), (line, outcome, done.stderr)
        assert outcome["seconds"] < MAX_SECONDS, (line, outcome)
        assert outcome["peak_mb"] < MAX_PEAK_MB, (line, outcome)
    # So that not all of them are nonsense that is refused at once.
    assert min(kinds["ran"], kinds["refused"]) > len(asked) / 5, kinds
