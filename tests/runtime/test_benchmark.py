"""The benchmark's arithmetic, and its files from a real run."""

import json
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from diffkiln.runtime.benchmark import Row, interleaved_ms, median_ratio, table

COMMAND = [sys.executable, "-m", "diffkiln.runtime.benchmark"]


def test_the_ratio_is_of_pairs() -> None:
    # A machine twice as slow in the second round changes both of its times and no ratio.
    assert median_ratio([10, 20, 30], [20, 40, 10]) == 0.5


def test_tasks_take_turns_after_a_warm_up() -> None:
    calls: list[str] = []
    times_ms = interleaved_ms([lambda: calls.append("a"), lambda: calls.append("b")], 2)
    assert "".join(calls) == "ababab"
    assert [len(of_task) for of_task in times_ms] == [2, 2]


def test_the_table_is_aligned() -> None:
    row = Row(
        batch=8,
        steps=20,
        latencies_ms=(100.0,),
        p50_ms=100.0,
        p90_ms=100.0,
        images_per_second=80.0,
        evaluations_per_second=1600.0,
        loop_ms=None,
        ratio=None,
    )
    assert table([row]).splitlines() == [
        "batch  steps  p50 ms  p90 ms  images/s  evaluations/s  ratio",
        "    8     20   100.0   100.0     80.00         1600.0",
    ]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments, "--device=cpu"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_figure_reaches_the_file(tiny_bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    sizes = ["--batch_sizes=1,2", "--steps=2", "--rounds=3", "--compare"]
    done = run(f"--bundle={tiny_bundle}", *sizes, f"--json={target}")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(target.read_text())["rows"]
    assert [row["batch"] for row in rows] == [1, 2]
    assert all(len(row["latencies_ms"]) == len(row["loop_ms"]) == 3 for row in rows)
    assert rows[1]["images_per_second"] == pytest.approx(2000 / rows[1]["p50_ms"])
    assert rows[1]["evaluations_per_second"] == pytest.approx(4000 / rows[1]["p50_ms"])


@pytest.mark.skipif(util.find_spec("matplotlib") is None, reason="needs diffkiln[plot]")
def test_a_plot_is_written(tiny_bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "latency.svg"
    run(f"--bundle={tiny_bundle}", "--steps=1", "--rounds=1", "--compare", f"--plot={target}")
    assert "<svg" in target.read_text()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--plot=latency.bmp", "--plot=latency.bmp: expected an ending of .png, .svg, .pdf"),
        ("--json=no/such/a.json", "--json=no/such/a.json: expected a path in an existing folder"),
        ("--json=.", "--json=.: is a folder or a device, expected a file"),
        ("--rounds=0", "--rounds=0: expected a whole number"),
    ],
)
def test_wrong_usage(tiny_bundle: Path, argument: str, message: str) -> None:
    done = run(f"--bundle={tiny_bundle}", argument)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"diffkiln-bench: {message}")
