"""`diffkiln-bench`: what a bundle costs on this machine, by batch size.

With --compare also the loop a host would otherwise write, one call of denoiser.onnx per step. Both
are timed turn by turn in one run and compared pair by pair, since a busy machine changes speed.
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .atomic import atomic
from .bundle import open_bundle
from .command import Command, checked_steps, load_sampler
from .device import DEVICES
from .errors import LibraryError
from .limits import MAX_BATCH, MAX_THREADS
from .options import (
    Option,
    bad_flag,
    file_path,
    one_of,
    require_writable,
    whole_number,
    whole_numbers,
)

if TYPE_CHECKING:
    from .sampler import Sampler

PLOT_ENDINGS = (".png", ".svg", ".pdf")

OPTIONS = (
    Option("bundle", file_path, "the folder that diffkiln-export wrote", required=True),
    Option("batch_sizes", whole_numbers(1, MAX_BATCH), "images per call, commas between", "1,8"),
    Option("steps", whole_number(1, 10**6), "denoising steps", "20"),
    Option("device", one_of(DEVICES), "auto, cpu or cuda", "auto"),
    Option("threads", whole_number(1, MAX_THREADS), "CPU threads; by default the physical cores"),
    Option("rounds", whole_number(1, 1000), "how many times each batch size is timed", "7"),
    Option("compare", None, "also time a Python loop of bare denoiser.onnx calls"),
    Option("json", file_path, "a file to write every figure to"),
    Option("plot", file_path, "a .png, .svg or .pdf of latency against batch size"),
)


@dataclass(frozen=True)
class Row:
    """The figures of one batch size.

    An evaluation is the network applied to one image once: batch x steps of them in a call.
    `loop_ms` and `ratio`, the median of sampler over loop, are None without --compare.
    """

    batch: int
    steps: int
    latencies_ms: tuple[float, ...]
    p50_ms: float
    p90_ms: float
    images_per_second: float
    evaluations_per_second: float
    loop_ms: tuple[float, ...] | None
    ratio: float | None


def measure(sampler: "Sampler", batch: int, *, steps: int, rounds: int, compare: bool) -> Row:
    """Time `rounds` samplings of `batch` images after one to warm up."""
    tasks: list[Callable[[], object]] = [lambda: sampler.sample(batch, steps=steps)]
    if compare:
        tasks.append(denoiser_loop(sampler, batch, steps))
    times_ms = interleaved_ms(tasks, rounds)
    latencies_ms, loop_ms = times_ms[0], times_ms[1] if compare else None
    p50_ms, p90_ms = np.percentile(latencies_ms, (50, 90)).tolist()
    return Row(
        batch=batch,
        steps=steps,
        latencies_ms=latencies_ms,
        p50_ms=p50_ms,
        p90_ms=p90_ms,
        images_per_second=1e3 * batch / p50_ms,
        evaluations_per_second=1e3 * batch * steps / p50_ms,
        loop_ms=loop_ms,
        ratio=None if loop_ms is None else median_ratio(latencies_ms, loop_ms),
    )


def denoiser_loop(sampler: "Sampler", batch: int, steps: int) -> Callable[[], object]:
    """Make a function that calls denoiser.onnx `steps` times, with no step in between."""
    shape = (batch, *sampler.bundle.image_shape)
    noisy = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    feeds = {"noisy": noisy, "time": np.full(batch, 0.5, np.float32)}
    return lambda: [sampler.run("denoiser", feeds) for _ in range(steps)]


def interleaved_ms(tasks: Sequence[Callable[[], object]], rounds: int) -> list[tuple[float, ...]]:
    """Time each task in each round, in ms; the tasks take turns after one warm-up each."""
    for task in tasks:
        task()
    times_ms = [[_milliseconds(task) for task in tasks] for _ in range(rounds)]
    return list(zip(*times_ms, strict=True))


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median ratio of the pairs; a change of speed between rounds leaves it alone."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned text under a line of headings."""
    headings = ("batch", "steps", "p50 ms", "p90 ms", "images/s", "evaluations/s", "ratio")
    lines = ["  ".join(headings)]
    for row in rows:
        cells = (
            str(row.batch),
            str(row.steps),
            f"{row.p50_ms:.1f}",
            f"{row.p90_ms:.1f}",
            f"{row.images_per_second:.2f}",
            f"{row.evaluations_per_second:.1f}",
            "" if row.ratio is None else f"{row.ratio:.3f}",
        )
        aligned = (c.rjust(len(h)) for c, h in zip(cells, headings, strict=True))
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def _milliseconds(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return 1e3 * (time.perf_counter() - start)


def _require_outputs(json_file: Path | None, plot_file: Path | None) -> None:
    """Complain of an output before the time is spent, not after."""
    if json_file is not None:
        require_writable("json", json_file)
    if plot_file is None:
        return
    require_writable("plot", plot_file)
    if plot_file.suffix.lower() not in PLOT_ENDINGS:
        raise bad_flag("plot", plot_file, f"expected an ending of {', '.join(PLOT_ENDINGS)}")
    if util.find_spec("matplotlib") is None:
        raise LibraryError("--plot needs matplotlib: run pip install 'diffkiln[plot]'")


def _write_json(target: Path, rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    text = json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=2)
    with atomic(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _write_plot(target: Path, rows: Sequence[Row], about: Mapping[str, Any]) -> None:
    # A Figure of its own, not pyplot: no window, no global state.
    from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

    rows = sorted(rows, key=lambda row: row.batch)
    axes = (figure := Figure(figsize=(6, 4), layout="constrained")).subplots()
    batches = [row.batch for row in rows]
    axes.plot(batches, [row.p50_ms for row in rows], "o-", label="p50")
    axes.plot(batches, [row.p90_ms for row in rows], "o:", label="p90")
    if all(row.loop_ms for row in rows):
        loop_ms = [statistics.median(row.loop_ms or ()) for row in rows]
        axes.plot(batches, loop_ms, "s--", label="p50 of the bare denoiser calls")
    axes.set(xlabel="batch size", ylabel="latency (ms)", xticks=batches, ylim=(0, None))
    axes.set_title(f"{about['bundle']}, {rows[0].steps} steps, {about['device']}")
    axes.legend()
    with atomic(target) as temporary:
        figure.savefig(temporary, format=target.suffix[1:].lower(), dpi=150)


def _benchmark(values: Mapping[str, Any]) -> None:
    bundle = open_bundle(values["bundle"])
    steps = checked_steps(bundle, values["steps"])
    _require_outputs(values["json"], values["plot"])
    sizes = values["batch_sizes"]
    sampler = load_sampler(
        bundle, device=values["device"], threads=values["threads"], max_batch=max(sizes)
    )
    settings = {"steps": steps, "rounds": values["rounds"], "compare": values["compare"]}
    rows = [measure(sampler, size, **settings) for size in sizes]
    about = _about(sampler, values["threads"])
    print(", ".join(f"{key} {value}" for key, value in about.items() if value is not None))
    print(table(rows))
    if values["compare"]:
        print("ratio: sampler.onnx over the same number of bare denoiser.onnx calls, median")
    if values["json"] is not None:
        _write_json(values["json"], rows, about)
    if values["plot"] is not None:
        _write_plot(values["plot"], rows, about)


def _about(sampler: "Sampler", threads: int | None) -> dict[str, Any]:
    from .session import onnxruntime

    return {
        "bundle": sampler.bundle.path.absolute().name,
        "device": sampler.device,
        "threads": threads,
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "onnxruntime": onnxruntime.__version__,
    }


main = Command(
    program="diffkiln-bench",
    purpose="Time a bundle on this machine.",
    example="diffkiln-bench --bundle=flowers.bundle --batch_sizes=1,8 --compare",
    options=OPTIONS,
    body=_benchmark,
).main


if __name__ == "__main__":
    sys.exit(main())
