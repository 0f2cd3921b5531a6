"""A full disk, at whatever file, costs no more than the steps since the last checkpoint."""

import sys
from pathlib import Path

import pytest
from mounts import run_on_small_disk

pytestmark = pytest.mark.slow

ROOMS_KB = (0, 4, 8, 12, 24, 300, 800, 1300, 1900, 2600)
CHILD = Path(__file__).parents[2] / "full_disk_child.py"


def test_a_run_goes_on_to_the_same_weights_when_there_is_room(
    tmp_path: Path, small_run: Path
) -> None:
    command = [sys.executable, CHILD, tmp_path, small_run, *ROOMS_KB]
    result = run_on_small_disk(tmp_path, 24, command)
    assert result.returncode == 0, result.stderr
    *_, last = result.stdout.splitlines()
    assert last == "SAME"
    full = [line for line in result.stdout.splitlines() if line.startswith("FULL")]
    assert len(full) > len(ROOMS_KB) / 2
    for line in full:
        assert "unfinished: []" in line
        assert "No space left on device" in line
        assert "make room" in line
