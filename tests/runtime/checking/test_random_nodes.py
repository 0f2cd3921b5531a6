"""No node ends the process that checks and runs it, whatever it takes and however it is set."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from diffkiln.runtime.checking import taken_operators

pytestmark = pytest.mark.slow

EACH = 4
MAX_SECONDS, MAX_PEAK_MB = 5, 500


def test_random_nodes_are_refused_or_run() -> None:
    names = sorted(taken_operators())
    lines = [[f"{name} {number}" for number in range(EACH)] for name in names]
    done = subprocess.run(
        [sys.executable, Path(__file__).parents[2] / "random_nodes.py"],
        input="\n".join(map(json.dumps, lines)),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    kinds: Counter[str] = Counter()
    for line, outcomes in zip(lines, answers, strict=True):
        for text, outcome in zip(line, outcomes, strict=True):
            assert outcome["kind"] in ("refused", "failed", "ran"), (text, outcome, done.stderr)
            assert outcome["seconds"] < MAX_SECONDS, (text, outcome)
            assert outcome["peak_mb"] < MAX_PEAK_MB, (text, outcome)
            kinds[outcome["kind"]] += 1
    # So that not all of them are nonsense that is refused at once.
    assert min(kinds["ran"], kinds["refused"]) > kinds.total() / 5, kinds
