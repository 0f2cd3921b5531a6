"""Many threads share one Sampler: a short run of the script for long ones."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "soak.py"


@pytest.mark.skipif(sys.platform != "linux", reason="reads resident memory from /proc")
def test_eight_threads_draw_the_images_of_one(tiny_bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, f"--bundle={tiny_bundle}", "--seconds=8"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failures" in done.stdout
