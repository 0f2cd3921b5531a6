"""`diffkiln-bench`: what a bundle costs on this machine; other processes do the measuring."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import util
from itertools import product
from pathlib import Path
from typing import Any

from ..bundle.bundle import Bundle, open_bundle, shipped_bundle
from ..command.options import (
    Option,
    bad_flag,
    file_path,
    file_paths,
    one_of,
    require_writable,
    several,
    whole_number,
    whole_numbers,
)
from ..command.program import Command
from ..device.device import DEVICES
from ..errors import LibraryError
from ..limits import MAX_BATCH, MAX_STEPS, MAX_THREADS
from .figures import measure, peak_gigaflops
from .plan import BAKED, Setting, default_steps, plan
from .plot import ENDINGS, write_plot
from .process import Process
from .profile import OperatorTime
from .report import Comparison, Profile, Report, write_json
from .sampling import VARIANTS
from .table import SPEED, START, comparison_table, profile_table, table

OPTIONS = (
    Option(
        "bundle",
        file_paths,
        "folders that diffkiln-export wrote, commas between; by default the bundled flowers",
    ),
    Option("batch_sizes", whole_numbers(1, MAX_BATCH), "images per call, commas between", "1,8"),
    Option(
        "steps",
        whole_numbers(1, MAX_STEPS),
        "denoising steps, commas between; by default the bundle's",
    ),
    Option(
        "variants",
        several(one_of(tuple(VARIANTS))),
        "loop or unrolled: the baked sampler.onnx, whichever the bundle has; stepwise: noise.onnx "
        "and step.onnx from Python; denoiser: denoiser.onnx alone, once for each step",
        "loop,unrolled",
    ),
    Option("device", several(one_of(DEVICES)), "auto, cpu, cuda, openvino, or several", "auto"),
    Option("threads", whole_number(1, MAX_THREADS), "CPU threads; by default the physical cores"),
    Option("rounds", whole_number(1, 1000), "how many times each setting is timed", "7"),
    Option("compare", None, "also time other runtimes on the same task, in turns"),
    Option("profile", None, "also show the time of each operator"),
    Option("json", file_path, "a file to write every figure to"),
    Option("plot", file_path, "a .png, .svg or .pdf of latency against batch size and steps"),
)

# By a bundle's path, what `network` answers.
Networks = dict[Path, Mapping[str, Any]]


def _benchmark(values: Mapping[str, Any]) -> None:
    _require_outputs(values)
    bundles = [open_bundle(path) for path in values["bundle"] or [shipped_bundle()]]
    if values["profile"] and "openvino" in values["device"]:
        raise bad_flag("device", "openvino", "has no operators to --profile; leave one of them out")
    steps = values["steps"] or (default_steps(bundles),)
    planned = partial(plan, bundles, steps=steps, batches=values["batch_sizes"])
    further = values["compare"] or values["profile"]
    # What cannot be measured is refused before time is spent.
    for variants in [values["variants"], *([BAKED] if further else [])]:
        planned(values["device"], variants)
    networks, devices = _networks(bundles, values)
    settings, left_out = planned(devices, values["variants"])
    baked = planned(devices, BAKED)[0] if further else []
    sizes = {each.name: networks[each.bundle.path]["multiply_adds"] for each in settings}
    report = Report(threads=values["threads"], left_out=left_out, multiply_adds=sizes)
    print(report.heading(), flush=True)
    _measure(report, settings, values["rounds"])
    if values["compare"]:
        _compare(report, baked, values["rounds"], networks)
    if values["profile"]:
        _profile(report, baked)
    for line in report.left_out:
        print(f"left out: {line}")
    if values["json"] is not None:
        write_json(values["json"], report)
    if values["plot"] is not None:
        write_plot(values["plot"], report.rows, report.machine["processor"] or "")


def _require_outputs(values: Mapping[str, Any]) -> None:
    """Refuse an output before the time is spent, not after."""
    for name in ("json", "plot"):
        if values[name] is not None:
            require_writable(name, values[name])
    plot = values["plot"]
    if plot is not None and plot.suffix.lower() not in ENDINGS:
        raise bad_flag("plot", plot, f"expected an ending of {', '.join(ENDINGS)}")
    if plot is not None and util.find_spec("matplotlib") is None:
        raise LibraryError("--plot needs matplotlib: run pip install matplotlib")


def _networks(bundles: Sequence[Bundle], values: Mapping[str, Any]) -> tuple[Networks, list[str]]:
    """Load each bundle on each device once; return the networks, and the devices they got."""
    networks: Networks = {}
    devices = []
    for device, bundle in product(values["device"], bundles):
        job = {"bundle": str(bundle.path), "device": device, "threads": values["threads"]}
        with Process("network", job) as process:
            networks[bundle.path] = process.ready
        devices.append(process.ready["device"])
    return networks, list(dict.fromkeys(devices))


def _measure(report: Report, settings: Sequence[Setting], rounds: int) -> None:
    for number, setting in enumerate(settings, 1):
        _progress(f"setting {number} of {len(settings)}")
        multiply_adds = report.multiply_adds[setting.name]
        row = measure(setting, threads=report.threads, rounds=rounds, multiply_adds=multiply_adds)
        report.rows.append(row)
    _progress("")
    for device, gigaflops in peak_gigaflops(report.rows).items():
        print(f"largest matrix product on {device}: {gigaflops:.0f} GFLOP/s")
    print(f"\n{table(report.rows, SPEED)}\n\n{table(report.rows, START)}", flush=True)


def _compare(report: Report, settings: Sequence[Setting], rounds: int, networks: Networks) -> None:
    from .compare.contestants import compare

    # In each group a Loop comes first.
    groups: dict[tuple[str, int, int], list[Setting]] = {}
    for setting in sorted(settings, key=lambda setting: setting.variant != "loop"):
        groups.setdefault((setting.device, setting.steps, setting.batch), []).append(setting)
    for number, (key, group) in enumerate(groups.items(), 1):
        _progress(f"comparison {number} of {len(groups)}")
        network = networks[group[0].bundle.path]
        results, left_out = compare(group, threads=report.threads, network=network, rounds=rounds)
        report.comparisons.append(Comparison(*key, results))
        _progress("")
        report.left_out += [line for line in left_out if line not in report.left_out]
        print(f"\n{comparison_table(report.comparisons[-1])}", flush=True)


def _profile(report: Report, settings: Sequence[Setting]) -> None:
    for setting in settings:
        with Process("profile", setting.job(report.threads)) as process:
            operators = [OperatorTime(**entry) for entry in process.ready["operators"]]
        profile = Profile(setting.name, setting.device, setting.steps, setting.batch, operators)
        report.profiles.append(profile)
        print(f"\n{profile_table(profile)}", flush=True)


def _progress(text: str) -> None:
    """Show a line on the terminal, if there is one: a large matrix takes minutes."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


main = Command(
    program="diffkiln-bench",
    purpose="Time bundles on this machine.",
    example="diffkiln-bench --bundle=flowers.bundle --batch_sizes=1,8 --steps=5,20 --compare",
    options=OPTIONS,
    body=_benchmark,
).main


if __name__ == "__main__":
    sys.exit(main())
