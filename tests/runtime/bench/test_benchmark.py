"""diffkiln-bench: real runs of the command, and what they leave."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from diffkiln.runtime.bench.benchmark import main

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "diffkiln.runtime.bench.benchmark"]


# A turn takes minutes.
LONG = "--batch_sizes=1024 --steps=1000"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str]]]:
    """Run the command in this process; return its exit status and the one line that it prints."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["diffkiln-bench", *arguments])
        status, (out, errors) = main(), capsys.readouterr()
        assert (out, errors.count("\n")) == ("", 1)
        return status, errors.strip()

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def measured(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """The JSON and the text of a run with --profile."""
    target = tmp_path_factory.mktemp("benchmark") / "figures.json"
    matrix = ["--batch_sizes=2", "--steps=1,2", "--variants=loop,denoiser"]
    more = ["--rounds=3", "--profile", "--device=cpu", f"--json={target}"]
    done = run(f"--bundle={tiny_bundle}", *matrix, *more)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(target.read_text()), done.stdout


def test_every_setting_has_a_row(measured: tuple[Any, str]) -> None:
    rows = measured[0]["rows"]
    settings = [(row["variant"], row["steps"], row["batch"]) for row in rows]
    variants = ("loop", "denoiser")
    assert settings == [(variant, steps, 2) for variant in variants for steps in (1, 2)]
    assert {(row["device"], row["provider"]) for row in rows} == {("cpu", "CPUExecutionProvider")}


def test_figures_follow_from_the_times(measured: tuple[Any, str], compared: tuple) -> None:
    for row in [*measured[0]["rows"], *compared[0]["rows"]]:
        assert len(row["latencies_ms"]) == len(row["product_ms"]) == 3
        assert min(row["latencies_ms"]) <= row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
        assert row["p99_ms"] <= max(row["latencies_ms"])
        assert row["images_per_second"] == pytest.approx(1000 * row["batch"] / row["p50_ms"])
        evaluations = row["images_per_second"] * row["steps"]
        assert row["evaluations_per_second"] == pytest.approx(evaluations)
        assert row["share_of_peak"] > 0
        cold = row["import_ms"] + row["load_ms"] + row["first_call_ms"]
        assert row["cold_ms"] == pytest.approx(cold)


def test_the_share_outside_the_network_is_of_pairs(measured: tuple, compared: tuple) -> None:
    for row in [*measured[0]["rows"], *compared[0]["rows"]]:
        if row["variant"] == "denoiser":
            assert row["denoiser_ms"] is row["outside_network"] is None
            continue
        pairs = zip(row["denoiser_ms"], row["latencies_ms"], strict=True)
        ratios = sorted(bare / latency for bare, latency in pairs)
        assert row["outside_network"] == pytest.approx(1 - ratios[1])


@pytest.mark.skipif(sys.platform == "win32", reason="the memory is unknown there")
def test_peak_memory_is_that_of_the_process(measured: tuple[Any, str]) -> None:
    # onnxruntime and numpy alone take some 60 MB; this process, with TensorFlow, far more.
    assert all(3e7 < row["peak_bytes"] < 3e8 for row in measured[0]["rows"])


def test_the_machine_is_recorded(measured: tuple[Any, str]) -> None:
    figures, text = measured
    assert figures["machine"]["python"] == sys.version.split()[0]
    assert figures["machine"]["logical_cores"] == os.cpu_count()
    assert {"diffkiln", "numpy"} < set(figures["versions"])
    assert figures["peak_gigaflops"]["cpu"] > 0
    assert figures["machine"]["processor"] in text.splitlines()[0]


def test_the_tables_name_what_differs(measured: tuple[Any, str]) -> None:
    lines = measured[1].splitlines()
    titles = [line for line in lines if line == "bundle tiny.bundle, device cpu, batch 2"]
    assert len(titles) == 2
    headings = lines[lines.index(titles[0]) + 1].split("  ")
    assert [heading.strip() for heading in headings if heading] == [
        *("variant", "steps", "p50 ms", "p90 ms", "p99 ms", "images/s", "evaluations/s"),
        *("outside", "of peak"),
    ]


def test_the_profile_counts_the_body_of_the_loop(measured: tuple[Any, str]) -> None:
    one, two = (
        {entry["operator"]: entry for entry in profile["operators"]}
        for profile in measured[0]["profiles"]
    )
    assert two["Conv"]["calls"] == 2 * one["Conv"]["calls"]
    assert two["Loop"]["calls"] == 1
    for operators in (one, two):
        assert sum(entry["share"] for entry in operators.values()) == pytest.approx(1)


@pytest.fixture(scope="module")
def compared(saved_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """The JSON and the plot of a run with one comparison."""
    folder = tmp_path_factory.mktemp("comparison")
    outputs = [f"--json={folder / 'figures.json'}"]
    if util.find_spec("matplotlib"):
        outputs.append(f"--plot={folder / 'latency.svg'}")
    matrix = ["--batch_sizes=1", "--steps=2", "--rounds=3", "--device=cpu", "--threads=1"]
    flags = [*matrix, "--variants=stepwise", "--compare", *outputs]
    done = run(f"--bundle={saved_bundle}", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    plot = folder / "latency.svg"
    figures = json.loads((folder / "figures.json").read_text())
    return figures, plot.read_text() if plot.exists() else ""


def test_all_that_is_installed_takes_part(compared: tuple[Any, str]) -> None:
    ((comparison,), left_out) = (compared[0][name] for name in ("comparisons", "left_out"))
    names = [result["name"] for result in comparison["results"]]
    assert names[:4] == [
        "baked Loop",
        "stepwise",
        "bare denoiser calls",
        "SavedModel in TensorFlow",
    ]
    others = {"OpenVINO, denoiser calls": "openvino", "diffusers, per multiply-add": "diffusers"}
    for name, package in others.items():
        there = util.find_spec(package) is not None
        assert (name in names) == there
        assert any(line.startswith(f"{name}: it needs ") for line in left_out) != there
    # The bundle has no LiteRT files, or there is no LiteRT.
    assert any(line.startswith("LiteRT: ") for line in left_out)


def test_ratios_are_to_the_loop(compared: tuple[Any, str]) -> None:
    base, *others = compared[0]["comparisons"][0]["results"]
    assert base["ratio"] == 1
    for result in others:
        pairs = zip(result["latencies_ms"], base["latencies_ms"], strict=True)
        ratio = sorted(mine / loops for mine, loops in pairs)[1]
        per_multiply_add = base["multiply_adds"] / result["multiply_adds"]
        assert result["ratio"] == pytest.approx(ratio * per_multiply_add)


@pytest.mark.skipif(util.find_spec("matplotlib") is None, reason="needs diffkiln[plot]")
def test_a_plot_is_written(compared: tuple[Any, str]) -> None:
    assert "<svg" in compared[1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such shell")
def test_without_stderr(tiny_bundle: Path) -> None:
    flags = [f"--bundle={tiny_bundle}", "--batch_sizes=1", "--steps=1", "--device=cpu"]
    shell = ["sh", "-c", 'exec "$@" 2>&-', "sh"]
    done = subprocess.run(
        [*shell, *COMMAND, *flags, "--rounds=1"], stdout=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, "first image s" in done.stdout) == (0, True)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
@pytest.mark.parametrize(("name", "work"), [("SIGINT", ""), ("SIGHUP", ""), ("SIGKILL", LONG)])
def test_a_run_that_ends_early_leaves_no_process(
    tiny_bundle: Path, tmp_path: Path, name: str, work: str
) -> None:
    number, mark = getattr(signal, name), f"DIFFKILN_TEST={uuid.uuid4()}"
    (temporary := tmp_path / "temporary").mkdir()
    arguments = [f"--bundle={tiny_bundle}", "--rounds=1000", "--json=figures.json", "--device=cpu"]
    with subprocess.Popen(
        [*COMMAND, *arguments, *work.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(temporary), **dict([mark.split("=")])},
        # What a shell starts in the background ignores Ctrl-C, and so do its children.
        preexec_fn=lambda: number != signal.SIGKILL and signal.signal(number, signal.SIG_DFL),
        text=True,
    ) as process:
        assert process.stdout
        process.stdout.readline()  # the heading: from here on it measures
        while len(marked(mark)) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    if number != signal.SIGKILL:
        said = "diffkiln-bench: interrupted; nothing was written\n"
        assert (process.returncode, errors) == (128 + number, said)
        assert not list(temporary.iterdir())
    assert list(tmp_path.iterdir()) == [temporary]
    # A process that was just starting has not been killed; it ends because its input has ended.
    deadline = time.monotonic() + 30
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marked(mark) == []


def marked(mark: str) -> list[str]:
    """Return the processes with this in their environment."""
    processes = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in entry.read_bytes():
                processes.append(entry.parent.name)
        except OSError:  # it has ended meanwhile, or belongs to somebody else
            continue
    return processes


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--plot=latency.bmp", "--plot=latency.bmp: expected an ending of .png, .svg, .pdf"),
        ("--json=no/such/a.json", "--json=no/such/a.json: expected a path in an existing folder"),
        ("--json=.", "--json=.: is a folder or a device, expected a file"),
        ("--rounds=0", "--rounds=0: expected a whole number"),
        ("--steps=5,0", "--steps=5,0: expected a whole number"),
        ("--steps=5,1001", "--steps=1001: expected at most 1000"),
        ("--variants=loop,scan", "--variants=loop,scan: expected one of loop, unrolled"),
        ("--variants=unrolled", "--variants=unrolled: "),
        ("--device=cpu,tpu", "--device=cpu,tpu: expected one of auto, cpu, cuda"),
    ],
)
def test_wrong_usage(
    refused: Callable[..., tuple[int, str]], tiny_bundle: Path, argument: str, message: str
) -> None:
    status, line = refused(f"--bundle={tiny_bundle}", argument)
    assert status == 2
    assert line.startswith(f"diffkiln-bench: {message}")


def test_a_wrong_bundle(
    refused: Callable[..., tuple[int, str]], tiny_bundle: Path, tmp_path: Path
) -> None:
    status, line = refused(f"--bundle={tiny_bundle},{tmp_path / 'none'}")
    assert status == 1
    assert line.startswith(f"diffkiln-bench: {tmp_path / 'none'} does not exist")


def test_a_damaged_bundle(bundle_copy: Path) -> None:
    with (bundle_copy / "sampler.onnx").open("ab") as file:
        file.write(b"\0")
    done = run(f"--bundle={bundle_copy}", "--device=cpu")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "sampler.onnx has" in done.stderr


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_refused_before_anything_is_measured(
    refused: Callable[..., tuple[int, str]], tiny_bundle: Path
) -> None:
    status, line = refused(f"--bundle={tiny_bundle}", "--device=cpu,cuda")
    assert status == 1
    assert "device='cuda' cannot be used" in line
